"""The spectral loss of equations (3) and (4), on any spectrum."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from .transforms import Spectrum

GRADIENTS = ("flow", "cut")


class SpectralLoss(nn.Module):
    """Mean absolute difference of the log spectra of two waveforms, equations (3) and (4).

    Parameters
    ----------
    spectrum : Spectrum
        `STFT`, `MFC`, `CQT` or `MultiResolutionSTFT`.
    eps : float
        Added to the power before the logarithm.
    gradient : str
        ``"flow"`` keeps the loss differentiable. ``"cut"`` sends the estimate's spectrum through NumPy and back into a
        new leaf, as the authors did: the values are right, ``backward()`` runs without an error, and no weight
        receives a gradient.

    Notes
    -----
    ``torch.func.grad``, ``vmap``, ``torch.compile(fullgraph=True)`` and second derivatives work, except with
    ``gradient="cut"``, whose way through NumPy none of them can follow.
    """

    def __init__(self, spectrum: Spectrum, eps: float = 1.0, gradient: str = "flow") -> None:
        super().__init__()
        if gradient not in GRADIENTS:
            raise ValueError(f"unknown gradient {gradient!r}; choose one of {', '.join(GRADIENTS)}")
        if gradient == "cut":
            warnings.warn("gradient='cut': as published, this loss trains no weights", stacklevel=2)
        self.spectrum, self.eps, self.gradient = spectrum, eps, gradient

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
                f"{tuple(target_level.shape)}: both are of waveforms of one shape"
            )
        if self.gradient == "cut":
            spectrum = torch.from_numpy(spectrum.detach().cpu().numpy()).to(spectrum.device).requires_grad_()
            target_level = target_level.detach()
        return self.spectrum.distance(spectrum, target_level, self.eps)

    def per_note(self, estimate: Tensor, target_level: Tensor) -> Tensor:
        """Return the loss of each estimate, ``(..., samples)`` -> ``(...)``; see `compare`."""
        return self.compare(self.spectrum(estimate), target_level)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of estimates against targets.

        Parameters
        ----------
        estimate, target : Tensor, shape (samples,), (batch, samples) or (batch, channels, samples)
            Waveforms of one shape. The gradient flows to both.

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        TypeError, ValueError
            If the shapes differ, or `Spectrum.forward` refuses the waveforms.
        """
        if estimate.shape != target.shape:
            shapes = f"the estimate has shape {tuple(estimate.shape)}, the target {tuple(target.shape)}"
            raise ValueError(f"{shapes}: both are of one shape")
        return self.per_note(estimate, self.level(target)).mean()
