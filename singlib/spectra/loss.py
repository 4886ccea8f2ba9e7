"""The spectral loss of equations (3) and (4), on any spectrum or on several at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .transforms import Spectrum

GRADIENTS = ("flow", "cut")
REDUCTIONS = {"none": lambda values: values, "mean": Tensor.mean, "sum": Tensor.sum}


class SpectralLoss(nn.Module):
    """Mean absolute difference of the log spectra of two waveforms, equations (3) and (4).

    Parameters
    ----------
    spectrum : Spectrum
        `STFT`, `MFC`, `CQT` or `MultiResolutionSTFT`.
    eps : float
        Added to the spectrum before the logarithm, a floor below which differences count little: to the power, to the
        magnitude where `power` is 1, to the squared decibels of an `MFC`; without meaning where that is not squared.
    gradient : str
        ``"flow"`` keeps the loss differentiable. ``"cut"`` sends the estimate's spectrum through NumPy and back into a
        new leaf, as the authors did: the values are right, ``backward()`` runs without an error, and no weight
        receives a gradient.
    reduction : str
        Of the losses of notes (of channels, where there are any): ``"mean"``, ``"sum"`` or ``"none"``. Within a note it
        is the mean over bins and frames.

    Notes
    -----
    ``torch.func.grad``, ``vmap``, ``torch.compile(fullgraph=True)`` and second derivatives work, except with
    ``gradient="cut"``, whose way through NumPy none of them can follow.
    """

    def __init__(
        self, spectrum: Spectrum, *, eps: float = 1.0, gradient: str = "flow", reduction: str = "mean"
    ) -> None:
        super().__init__()
        for name, value, known in (("gradient", gradient, GRADIENTS), ("reduction", reduction, REDUCTIONS)):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(known)}")
        if not isinstance(spectrum, Spectrum):
            raise TypeError(f"spectrum is {spectrum!r}; it must be an instance, such as CQT()")
        if not eps > 0:
            raise ValueError(f"eps {eps!r} is not above 0: the logarithm of silence is not finite")
        if gradient == "cut":
            warnings.warn("gradient='cut': as published, this loss trains no weights", stacklevel=2)
        self.spectrum, self.eps, self.gradient, self.reduction = spectrum, eps, gradient, reduction

    def level(self, waveform: Tensor) -> Tensor:
        """Return l of equation (3), ``(..., bins, frames)``; a target's can be kept and reused."""
        return self.spectrum.level(self.spectrum(waveform), self.eps)

    def compare(self, spectrum: Tensor, target_level: Tensor) -> Tensor:
        """Return the loss of each note from the spectrum of its estimate and the `level` of its target.

        Both are ``(..., bins, frames)``; ValueError if their shapes differ. (Waveforms of different length may have as
        many frames; only `forward` tells them apart.)
        """
        if spectrum.shape != target_level.shape:
            raise ValueError(
                f"the estimate's spectrum has shape {tuple(spectrum.shape)}, the target's level "
                f"{tuple(target_level.shape)}: they must have the same shape"
            )
        if self.gradient == "cut":
            spectrum = torch.from_numpy(spectrum.detach().cpu().numpy()).to(spectrum.device).requires_grad_()
            target_level = target_level.detach()
        return self.spectrum.distance(spectrum, target_level, self.eps)

    def per_note(self, estimate: Tensor, target_level: Tensor) -> Tensor:
        """Return the loss of each estimate, ``(..., samples)`` -> ``(...)``, whatever `reduction` is; see `compare`."""
        return self.compare(self.spectrum(estimate), target_level)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the loss of estimates against targets.

        Parameters
        ----------
        estimate, target : Tensor, shape (samples,), (batch, samples) or (batch, channels, samples)
            Waveforms of one shape. The gradient flows to both.

        Returns
        -------
        Tensor, shape (), or without a reduction that of the waveforms less their samples

        Raises
        ------
        TypeError, ValueError
            If the shapes differ, or `Spectrum.forward` refuses the waveforms.
        """
        if estimate.shape != target.shape:
            shapes = f"the estimate has shape {tuple(estimate.shape)}, the target {tuple(target.shape)}"
            raise ValueError(f"{shapes}: they must have the same shape")
        return REDUCTIONS[self.reduction](self.per_note(estimate, self.level(target)))


class CombinedLoss(nn.Module):
    """A weighted mean of losses with names, such as spectral losses at several resolutions, or of several spectra.

    Parameters
    ----------
    losses : mapping
        Name -> loss, a module that takes estimate and target, such as a `SpectralLoss`.
    weights : mapping, optional
        Name -> weight, not below 0; 1 for those that are not named.

    Raises
    ------
    TypeError
        If `losses` is no mapping, or one of them no loss.
    ValueError
        If there is no loss, a weight is below 0 or of an unknown loss, or all are 0.
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        if not isinstance(losses, Mapping):
            raise TypeError(
                f"losses is a {type(losses).__name__}; it maps names to losses: {{'cqt': SpectralLoss(CQT())}}"
            )
        for name, loss in losses.items():
            if isinstance(loss, Spectrum) or not isinstance(loss, nn.Module):
                raise TypeError(f"{name!r} is {loss!r}; it must be a loss, such as SpectralLoss(CQT())")
        for name, weight in (weights or {}).items():
            if name not in losses:
                raise ValueError(f"weight of an unknown loss {name!r}; choose one of {', '.join(losses)}")
            if weight < 0:
                raise ValueError(f"weight {weight!r} of {name!r} is below 0")
        self.weights = {name: float((weights or {}).get(name, 1)) for name in losses}
        if not sum(self.weights.values()) > 0:
            raise ValueError("a combined loss needs a loss with a weight above 0")
        self.losses = nn.ModuleList(losses.values())  # in the order of `weights`: a ModuleDict refuses some names

    def parts(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each loss by its name, unweighted."""
        return {name: loss(estimate, target) for name, loss in zip(self.weights, self.losses, strict=True)}

    def total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted mean of `parts`, which a training that logs them computes once."""
        return sum(self.weights[name] * part for name, part in parts.items()) / sum(self.weights.values())

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the weighted mean."""
        return self.total(self.parts(estimate, target))
