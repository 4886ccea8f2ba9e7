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
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from .grid import GRADIENTS, check_choice
from .nsynth import SAMPLE_RATE

FRAME, HOP = 1024, 256  # samples


def _blocks(waveform: Tensor) -> Tensor:
    """Cut waveforms ``(batch, samples)`` into blocks of one hop, ``(batch, samples // 256, 256)``."""
    return waveform[:, : waveform.shape[-1] // HOP * HOP].unflatten(-1, (-1, HOP))


class _Power(torch.autograd.Function):
    """|rfft|^2 of windowed frames of waveforms ``(batch, samples)`` -> ``(batch, frames, 513)``.

    torch's own backward of rfft fills up the other half of the spectrum and transforms all of it in
    complex numbers; the inverse real transform is the same sum for less than half the time. Frames are
    put together from blocks of one hop. Squares, not the modulus: that has no gradient at zero, and notes
    end in digital silence.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, waveform: Tensor, window: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(waveform.unfold(-1, FRAME, HOP) * window)
        ctx.save_for_backward(waveform, window, spectrum)
        return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        waveform, window, spectrum = ctx.saved_tensors
        # dS_k/dx_n = 2 Re(X_k e^{2 pi i k n / N}); irfft takes every k twice, but for the first and the last.
        weighted = torch.view_as_complex(torch.view_as_real(spectrum) * gradient.unsqueeze(-1))
        weighted[..., :: FRAME // 2] *= 2
        frames = torch.fft.irfft(weighted, norm="forward").mul_(window).unflatten(-1, (-1, HOP))
        summed = torch.zeros_like(waveform)
        blocks = _blocks(summed)
        for part in range(FRAME // HOP):
            blocks[:, part : part + frames.shape[1]] += frames[:, :, part]
        return summed, None


class _Distance(torch.autograd.Function):
    """Mean of |log(eps + S) - level| of each note, ``(batch, bins, frames)`` -> ``(batch,)``.

    One function, since a temporary in memory costs more than the arithmetic on it.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        shifted = spectrum + eps
        difference = shifted.log().sub_(level)
        ctx.save_for_backward(shifted, difference)
        return difference.abs().mean(dim=(1, 2))  # vector_norm sums less carefully: 1e-5 off

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        shifted, difference = ctx.saved_tensors
        weight = (gradient / difference[0].numel())[:, None, None]
        return difference.sgn().div_(shifted).mul_(weight), None, None


class Spectrum(nn.Module):
    """A transform of waveforms that knows its own level, the l of equation (3).

    ``forward(waveform, power=None)`` takes the waveform's `STFT` too, for the spectra that start from
    it and where it is known already: several spectra of one waveform then share it. In memory a
    frame's bins lie together; arithmetic on two spectra is fast where both lie alike.
    """

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + S) of a power spectrum S, elementwise."""
        return torch.log(eps + spectrum)

    def distance(self, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        """Return the mean absolute difference of each note's `level` to a given one, ``(batch,)``."""
        return _Distance.apply(spectrum, level, eps)


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
        return _Power.apply(waveform, self.window).mT


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
        dct = scipy.fft.dct(np.eye(self.MELS), norm="ortho")[:, : self.COEFFICIENTS]
        self.register_buffer("mel", torch.tensor(mel.T.copy(), dtype=torch.float32), persistent=False)
        self.register_buffer("dct", torch.tensor(dct, dtype=torch.float32), persistent=False)

    def forward(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return the coefficients."""
        # As a convolution of kernel 1: on CPU twice as fast as the matrix product that it is.
        mel = F.conv2d(self.stft(waveform, power).unsqueeze(2), self.mel.T[:, :, None, None])
        decibel = 10 * torch.log10(mel.squeeze(2).mT.clamp(min=self.FLOOR))  # (batch, frames, 128)
        return (decibel @ self.dct).mT

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + c^2), or c itself where `squared` is False."""
        return super().level(spectrum.square(), eps) if self.squared else spectrum

    def distance(self, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        """Return the mean absolute difference of `level`, ``(batch,)``."""
        if self.squared:
            return super().distance(spectrum.square(), level, eps)
        return (spectrum - level).abs().mean(dim=(1, 2))


class CQT(Spectrum):
    """Power of the constant-Q transform: 84 bins from C1 (32.7 Hz), 12 an octave, hop 256.

    J. C. Brown, "Calculation of a constant Q spectral transform", JASA 89, 1991 (equation 5), with
    nnAudio's kernels and librosa's scaling, centred frames and reflected ends. nnAudio pads every
    kernel to the longest (16,384 samples). Here each octave keeps its own length, a multiple of the
    hop, and is a convolution over blocks of one hop; and the low octaves share a basis: of what a block
    of 256 samples can hold, they hear a few dozen directions, all that vary so slowly.

    Notes
    -----
    In: ``(batch, samples)``; out: ``(batch, 84, samples // 256 + 1)``.
    """

    BINS, PER_OCTAVE, FMIN = 84, 12, 32.70319566257483  # fmin in Hz: C1
    LOW = 4  # octaves that share a basis, to 523 Hz; more would need a basis of most of the block
    PRECISION = 1e-6  # of the largest singular value: what the basis leaves out is float32's rounding

    def __init__(self) -> None:
        super().__init__()
        quality = 1 / (2 ** (1 / self.PER_OCTAVE) - 1)
        kernels, width, lengths, _ = create_cqt_kernels(quality, SAMPLE_RATE, self.FMIN, self.BINS, self.PER_OCTAVE)
        scaled = kernels * np.sqrt(lengths.numpy())[:, None]  # as librosa.cqt
        octaves = []  # (256, blocks, 24) each: real and imaginary parts of 12 kernels
        for rows in np.split(np.arange(self.BINS), self.BINS // self.PER_OCTAVE):
            half = HOP * int(np.ceil((lengths[rows].max().item() / 2 + 1) / HOP))
            kernel = scaled[rows, width // 2 - half : width // 2 + half].T.reshape(-1, HOP, self.PER_OCTAVE)
            octaves.append(np.concatenate([kernel.real, kernel.imag], axis=-1).swapaxes(0, 1).astype(np.float64))
        low = np.hstack([kernel.reshape(HOP, -1) for kernel in octaves[: self.LOW]])
        basis, strength, _ = np.linalg.svd(low, full_matrices=False)
        basis = basis[:, strength > self.PRECISION * strength[0]]
        self.register_buffer("basis", torch.tensor(basis, dtype=torch.float32), persistent=False)
        for octave, kernel in enumerate(octaves):
            seen = np.tensordot(basis.T, kernel, 1) if octave < self.LOW else kernel
            weight = torch.tensor(seen, dtype=torch.float32).permute(2, 0, 1).unsqueeze(2)  # (24, rank, 1, blocks)
            weight = weight.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"octave{octave}", weight, persistent=False)
        self.reach = self.octave0.shape[-1] // 2 * HOP  # samples that the longest kernel reaches to each side

    def forward(self, waveform: Tensor, power: Tensor | None = None) -> Tensor:
        """Return |CQT|^2; ValueError if the waveform is too short to be reflected."""
        samples = waveform.shape[-1]
        if samples <= self.reach:
            raise ValueError(f"{samples} samples are too short: the reflected ends of the CQT need {self.reach + 1}")
        frames = samples // HOP + 1
        # Reflection by slices: the gradient of F.pad's reflection is not deterministic on CUDA.
        before, after = waveform[:, 1 : self.reach + 1].flip(-1), waveform[:, -self.reach - 1 : -1].flip(-1)
        blocks = _blocks(torch.cat([before, waveform, after], dim=-1))  # (batch, blocks, 256)
        low = blocks @ self.basis  # (batch, blocks, rank)
        octaves = []
        for octave in range(self.BINS // self.PER_OCTAVE):
            weight = self.get_buffer(f"octave{octave}")
            # As an image one pixel high the blocks lie as 2-D convolutions read them; conv1d copies them first.
            heard = F.conv2d((low if octave < self.LOW else blocks).mT.unsqueeze(2), weight).squeeze(2)
            first = self.reach // HOP - weight.shape[-1] // 2  # block where the first frame's kernel begins
            real, imaginary = heard[..., first : first + frames].mT.chunk(2, dim=-1)
            octaves.append(real.square() + imaginary.square())
        return torch.cat(octaves, dim=-1).mT


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
        spectrum = self.spectrum(estimate, power)
        if self.gradient == "cut":
            spectrum = torch.from_numpy(spectrum.detach().cpu().numpy()).to(estimate.device).requires_grad_()
        return self.spectrum.distance(spectrum, target_level, self.eps)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of estimates against targets, both ``(batch, samples)``."""
        return self.per_note(estimate, self.level(target)).mean()
