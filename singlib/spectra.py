"""Three spectra as differentiable transforms, and the spectral loss of equations (3) and (4).

Each spectrum maps waveforms ``(batch, samples)`` at 16 kHz to ``(batch, bins, frames)``, hop 256.
None takes a square root or clamps a level below its peak, so gradients are finite on digital silence
and do not vanish in quiet bins (but for MFC's floor at -100 dB, which is librosa's).

>>> loss = SpectralLoss(CQT())
>>> loss(estimate, target).backward()
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.fft
import torch
from nnAudio.librosa_functions import get_mel
from nnAudio.utils import create_cqt_kernels
from torch import Tensor, nn
from torch.nn import functional as F

from .grid import GRADIENTS, check_choice
from .nsynth import SAMPLE_RATE

FRAME, HOP = 1024, 256  # samples


def _blocks(waveform: Tensor) -> Tensor:
    """Cut waveforms ``(batch, samples)`` into blocks of one hop, ``(batch, samples // 256, 256)``.

    Frames put together from blocks cost a copy; torch.stft's overlapping views cost several times that
    in the backward pass.
    """
    return waveform[:, : waveform.shape[-1] // HOP * HOP].unflatten(-1, (-1, HOP))


class Spectrum(nn.Module):
    """A transform of waveforms that knows its own level, the l of equation (3).

    ``forward(waveform, power=None)`` takes the waveform's `STFT` too, for the spectra that start from
    it and where it is known already: several spectra of one waveform then share it.
    """

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + S) of a power spectrum S, elementwise."""
        return torch.log(eps + spectrum)


class STFT(Spectrum):
    """Power of the short-time Fourier transform: frames of 1,024 at hop 256, Hann, not centred.

    Scaled as `librosa.stft`. In: ``(batch, samples)``; out: ``(batch, 513, (samples - 768) // 256)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME), persistent=False)

    def forward(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return |STFT|^2; ValueError if the waveform is shorter than one frame."""
        if power is not None:
            return power
        if waveform.shape[-1] < FRAME:
            raise ValueError(f"{waveform.shape[-1]} samples are less than one frame of {FRAME}")
        blocks = _blocks(waveform)
        count = blocks.shape[1] - FRAME // HOP + 1
        frames = torch.cat([blocks[:, start : start + count] for start in range(FRAME // HOP)], dim=-1)
        transform = torch.fft.rfft(frames * self.window)  # (batch, frames, 513)
        # Squares, not abs(): the modulus has no gradient at zero, and notes end in digital silence.
        return torch.view_as_real(transform).square().sum(-1).transpose(1, 2)


class MFC(Spectrum):
    """Mel-frequency cepstrum after librosa's conventions, which the authors called.

    128 Slaney mels to 8 kHz on the frames of `STFT`, decibels, 20 coefficients of an orthonormal
    DCT-II. Without librosa's clamp at 80 dB below the peak, where the gradient would be zero.
    Equation (7) writes a natural logarithm and an unscaled DCT: the same up to constants.

    Parameters
    ----------
    squared : bool
        Equation (3) taken literally squares the coefficients like amplitudes, log(eps + c^2). False
        leaves the plain coefficients, whose L1 distance is a distance of log spectra already.

    Notes
    -----
    In: ``(batch, samples)``; out: ``(batch, 20, frames)``, in decibels.
    """

    MELS, COEFFICIENTS, FLOOR = 128, 20, 1e-10  # floor: librosa's amin, -100 dB

    def __init__(self, squared: bool = True) -> None:
        super().__init__()
        self.squared = squared
        self.stft = STFT()
        mel = get_mel(SAMPLE_RATE, FRAME, n_mels=self.MELS, fmax=SAMPLE_RATE / 2)
        dct = scipy.fft.dct(np.eye(self.MELS), norm="ortho", axis=0)[: self.COEFFICIENTS]
        self.register_buffer("mel", torch.tensor(mel, dtype=torch.float32), persistent=False)
        self.register_buffer("dct", torch.tensor(dct, dtype=torch.float32), persistent=False)

    def forward(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return the coefficients."""
        decibel = 10 * torch.log10((self.mel @ self.stft(waveform, power)).clamp(min=self.FLOOR))
        return self.dct @ decibel

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + c^2), or c itself where `squared` is False."""
        return torch.log(eps + spectrum.square()) if self.squared else spectrum


class CQT(Spectrum):
    """Power of the constant-Q transform: 84 bins from C1 (32.7 Hz), 12 an octave, hop 256.

    J. C. Brown, "Calculation of a constant Q spectral transform", JASA 89, 1991 (equation 5), with
    nnAudio's kernels and librosa's scaling, centred frames and reflected ends. nnAudio pads every
    kernel to the longest (16,384 samples); here each octave keeps its own length, a multiple of the
    hop, and is a convolution over blocks of one hop, which is the same sum at a sixth of the time.

    Notes
    -----
    In: ``(batch, samples)``; out: ``(batch, 84, samples // 256 + 1)``.
    """

    BINS, PER_OCTAVE, FMIN = 84, 12, 32.70319566257483  # fmin in Hz: C1

    def __init__(self) -> None:
        super().__init__()
        quality = 1 / (2 ** (1 / self.PER_OCTAVE) - 1)
        kernels, width, lengths, _ = create_cqt_kernels(quality, SAMPLE_RATE, self.FMIN, self.BINS, self.PER_OCTAVE)
        self.reach = width // 2  # samples that the longest kernel, and so the padding, reaches to each side
        scaled = kernels * np.sqrt(lengths.numpy())[:, None]  # as librosa.cqt
        for octave in range(self.BINS // self.PER_OCTAVE):
            rows = slice(octave * self.PER_OCTAVE, (octave + 1) * self.PER_OCTAVE)
            half = HOP * int(np.ceil((lengths[rows].max().item() / 2 + 1) / HOP))
            kernel = scaled[rows, self.reach - half : self.reach + half]
            kernel = np.concatenate([kernel.real, kernel.imag]).reshape(2 * self.PER_OCTAVE, -1, HOP)
            weight = torch.tensor(kernel.transpose(0, 2, 1), dtype=torch.float32)  # (24, 256, blocks)
            self.register_buffer(f"octave{octave}", weight.contiguous(), persistent=False)

    def forward(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return |CQT|^2; ValueError if the waveform is too short to be reflected."""
        samples = waveform.shape[-1]
        if samples <= self.reach:
            raise ValueError(f"{samples} samples are too short: the reflected ends of the CQT need {self.reach + 1}")
        frames = samples // HOP + 1
        # Reflection by slices: the gradient of F.pad's reflection is not deterministic on CUDA.
        before, after = waveform[:, 1 : self.reach + 1].flip(-1), waveform[:, -self.reach - 1 : -1].flip(-1)
        padded = torch.cat([before, waveform, after], dim=-1)
        blocks = _blocks(padded).transpose(1, 2)
        octaves = []
        for octave in range(self.BINS // self.PER_OCTAVE):
            weight = self.get_buffer(f"octave{octave}")
            first = (self.reach // HOP) - weight.shape[-1] // 2  # block where the first frame's kernel begins
            part = blocks[:, :, first : first + frames + weight.shape[-1] - 1]
            octaves.append(F.conv1d(part, weight).unflatten(1, (2, -1)).square().sum(1))
        return torch.cat(octaves, dim=1)


SPECTRA = {"STFT": STFT, "MFC": MFC, "CQT": CQT}


class SpectralLoss(nn.Module):
    """Mean absolute difference of the log spectra of two waveforms, equations (3) and (4).

    Parameters
    ----------
    spectrum : Spectrum
        `STFT`, `MFC` or `CQT`.
    eps : float
        Added to the power before the logarithm.
    gradient : str
        ``"flow"`` keeps the loss differentiable. ``"cut"`` sends the estimate's spectrum through
        NumPy and back into a new leaf, as the authors did: the values are right, ``backward()`` runs
        without an error, and no weight receives a gradient.
    """

    def __init__(self, spectrum: Spectrum, eps: float = 1.0, gradient: str = "flow") -> None:
        super().__init__()
        check_choice("gradient", gradient, GRADIENTS)
        if gradient == "cut":
            warnings.warn("gradient='cut': as published, this loss trains no weights", stacklevel=2)
        self.spectrum, self.eps, self.gradient = spectrum, eps, gradient

    def level(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return l of equation (3), ``(batch, bins, frames)``; a target's can be kept and reused."""
        return self.spectrum.level(self.spectrum(waveform, power), self.eps)

    def per_note(self, estimate: Tensor, target_level: Tensor, power: Tensor | None = None) -> Tensor:
        """Return the loss of each estimate ``(batch, samples)`` against a kept `level`, ``(batch,)``."""
        level = self.level(estimate, power)
        if self.gradient == "cut":
            level = torch.from_numpy(level.detach().cpu().numpy()).to(estimate.device).requires_grad_()
        return (level - target_level).abs().mean(dim=(1, 2))

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of estimates against targets, both ``(batch, samples)``."""
        return self.per_note(estimate, self.level(target)).mean()
