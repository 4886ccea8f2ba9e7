"""Differentiable transforms of waveforms ``(..., samples)`` to ``(..., bins, frames)``: STFT, MFC, CQT, and an MRSTFT.

None takes a square root or clamps a level below its peak, so gradients are finite on digital silence and do not vanish
in quiet bins (except at MFC's floor of -100 dB, which is librosa's).
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from nnAudio.utils import create_cqt_kernels
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

SAMPLE_RATE = 16_000  # Hz
FRAME, HOP = 1024, 256  # samples


def _blocks(waveform: Tensor, hop: int = HOP) -> Tensor:
    """Cut waveforms ``(batch, samples)`` into blocks of one hop, ``(batch, samples // hop, hop)``."""
    return waveform[:, : waveform.shape[-1] // hop * hop].unflatten(-1, (-1, hop))


class _Power(torch.autograd.Function):
    """|rfft|^2 of windowed frames of waveforms ``(batch, samples)`` -> ``(batch, frames, bins)``, and the rfft.

    The hop is a quarter of the window. torch's own backward of rfft transforms both halves of the spectrum in complex
    numbers; the inverse real transform is the same sum in less than half the time. Squares, not the modulus: that has
    no gradient at zero, and notes end in digital silence. The rfft is an output, without a gradient, since torch.func
    keeps nothing else.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(waveform: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft(waveform.unfold(-1, len(window), len(window) // 4) * window)
        return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag), spectrum

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        waveform, window, spectrum = ctx.saved_tensors
        frame = len(window)
        hop = frame // 4
        if torch.is_grad_enabled():  # of a gradient of this gradient: the kept spectrum is outside the graph
            spectrum = torch.fft.rfft(waveform.unfold(-1, frame, hop) * window)
        # dS_k/dx_n = 2 Re(X_k e^{2 pi i k n / N}); irfft takes every k twice, but for the first and the last.
        weighted = torch.view_as_complex(torch.view_as_real(spectrum) * gradient.unsqueeze(-1))
        weighted[..., :: frame // 2] *= 2
        frames = torch.fft.irfft(weighted, norm="forward").mul_(window).unflatten(-1, (-1, hop))
        summed = torch.zeros_like(waveform)
        blocks = _blocks(summed, hop)
        for part in range(4):
            blocks[:, part : part + frames.shape[1]] += frames[:, :, part]
        return summed, None


class _Distance(torch.autograd.Function):
    """Mean of |log(eps + S) - level| of each note, ``(..., bins, frames)`` -> ``(...)``, and the difference.

    One function, since a temporary in memory costs more than the arithmetic on it; the difference is an output as in
    `_Power`.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(spectrum: Tensor, level: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        difference = (spectrum + eps).log_().sub_(level)
        return difference.abs().mean(dim=(-2, -1)), difference  # vector_norm sums less carefully: 1e-5 off

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        spectrum, _, ctx.eps = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(spectrum, output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        spectrum, difference = ctx.saved_tensors
        weight = (gradient / difference.shape[-2:].numel())[..., None, None]
        of_spectrum, of_level = ctx.needs_input_grad[:2]
        return (
            difference.sgn().div_(spectrum + ctx.eps).mul_(weight) if of_spectrum else None,
            difference.sgn().neg_().mul_(weight) if of_level else None,
            None,
        )


class Spectrum(nn.Module):
    """A transform of waveforms, and its level, the l of equation (3); your own is a subclass with a `transform`.

    In memory a frame's bins lie together: arithmetic on two spectra is fast where both have the same layout.
    """

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of waveforms.

        Parameters
        ----------
        waveform : Tensor, shape (samples,), (batch, samples) or (batch, channels, samples)
            At 16 kHz, of any floating dtype. Half precision is computed in float32, under autocast too.

        Returns
        -------
        Tensor, shape (..., bins, frames)

        Raises
        ------
        TypeError, ValueError
            If the waveform is not floating, has another shape, or is too short; if the transform's own kernels are in
            half precision.
        """
        kernel = next(self.buffers(), waveform)
        if not waveform.is_floating_point():
            raise TypeError(f"the waveform is {waveform.dtype}; samples are floating, in [-1, 1]")
        if kernel.dtype.itemsize < 4 and kernel is not waveform:
            raise TypeError(
                f"the kernels are {kernel.dtype}: leave the loss in float32, it takes waveforms of any dtype"
            )
        if not 1 <= waveform.ndim <= 3 or not waveform.numel():
            raise ValueError(
                f"the waveform has shape {tuple(waveform.shape)}; it is (samples,), (batch, samples) or "
                "(batch, channels, samples), and not empty"
            )
        dtype = torch.promote_types(torch.promote_types(waveform.dtype, torch.float32), kernel.dtype)
        leading = waveform.shape[:-1]
        with torch.autocast(waveform.device.type, enabled=False):
            flat = waveform.to(dtype).reshape(-1, waveform.shape[-1])
            spectrum = self.transform(flat)
        return spectrum if len(leading) == 1 else spectrum.reshape(*leading, *spectrum.shape[1:])

    def transform(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of waveforms ``(batch, samples)`` in float32 or float64: ``(batch, bins, frames)``."""
        raise NotImplementedError(f"{type(self).__name__} has no transform(waveform)")

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + S) of a power spectrum S, elementwise."""
        return torch.log(eps + spectrum)

    def distance(self, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        """Return the mean absolute difference of each note's `level` to a given one: the leading dimensions."""
        return _Distance.apply(spectrum, level, eps)[0]


class STFT(Spectrum):
    """Power of the short-time Fourier transform: frames of 1,024 at hop 256, Hann, not centred.

    Scaled as `librosa.stft`. In: ``(batch, samples)``; out: ``(batch, 513, (samples - 768) // 256)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return |STFT|^2; ValueError if the waveform is shorter than one frame."""
        if waveform.shape[-1] < FRAME:
            raise ValueError(f"{waveform.shape[-1]} samples are less than one frame of {FRAME}")
        return _Power.apply(waveform, self.window.to(waveform.dtype))[0].mT


class MFC(Spectrum):
    """Mel-frequency cepstrum after librosa's conventions, which the authors called.

    128 Slaney mels to 8 kHz on the frames of `STFT`, decibels, 20 coefficients of an orthonormal DCT-II, without
    librosa's clamp at 80 dB below the peak, where the gradient would be zero. Equation (7) writes a natural logarithm
    and an unscaled DCT: the same up to constants. In: ``(batch, samples)``; out: ``(batch, 20, frames)``, in decibels.

    Parameters
    ----------
    squared : bool
        Equation (3) taken literally squares the coefficients like amplitudes, log(eps + c^2). False leaves the plain
        coefficients, whose L1 distance is a distance of log spectra already.
    """

    MELS, COEFFICIENTS, FLOOR = 128, 20, 1e-10  # floor: librosa's amin, -100 dB

    def __init__(self, squared: bool = True) -> None:
        super().__init__()
        self.squared = squared
        self.stft = STFT()
        from librosa.filters import mel as mel_filters  # a second to import

        mel = mel_filters(sr=SAMPLE_RATE, n_fft=FRAME, n_mels=self.MELS)
        dct = scipy.fft.dct(np.eye(self.MELS), norm="ortho")[:, : self.COEFFICIENTS]
        self.register_buffer("mel", torch.tensor(mel.T.copy(), dtype=torch.float32), persistent=False)
        self.register_buffer("dct", torch.tensor(dct, dtype=torch.float32), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return the coefficients."""
        return self.of_power(self.stft.transform(waveform))

    def of_power(self, power: Tensor) -> Tensor:
        """Return the coefficients from a `STFT`: ``(batch, 513, frames)`` -> ``(batch, 20, frames)``."""
        # As a convolution of kernel 1: on CPU twice as fast as the matrix product that it is.
        mel = F.conv2d(power.unsqueeze(2), self.mel.to(power.dtype).T[:, :, None, None])
        decibel = 10 * torch.log10(mel.squeeze(2).mT.clamp(min=self.FLOOR))  # (batch, frames, 128)
        return (decibel @ self.dct.to(power.dtype)).mT

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + c^2), or c itself where `squared` is False."""
        return super().level(spectrum.square(), eps) if self.squared else spectrum

    def distance(self, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        """Return the mean absolute difference of `level`."""
        if self.squared:
            return super().distance(spectrum.square(), level, eps)
        return (spectrum - level).abs().mean(dim=(-2, -1))


class CQT(Spectrum):
    """Power of the constant-Q transform: 84 bins from C1 (32.7 Hz), 12 an octave, hop 256.

    J. C. Brown, "Calculation of a constant Q spectral transform", JASA 89, 1991 (equation 5), with nnAudio's kernels
    and librosa's scaling, centred frames and reflected ends. In: ``(batch, samples)``; out:
    ``(batch, 84, samples // 256 + 1)``.

    nnAudio pads every kernel to the longest (16,384 samples). Here each octave keeps its own length, a multiple of the
    hop, and is a convolution over blocks of one hop. The low octaves share a basis: they vary so slowly that a block of
    256 samples has only a few dozen directions for them.
    """

    BINS, PER_OCTAVE, FMIN = 84, 12, 32.70319566257483  # fmin in Hz: C1
    LOW = 4  # octaves that share a basis, to 523 Hz; one for more would span most of the block
    PRECISION = 1e-6  # of the largest singular value: what the basis omits is below float32's rounding

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
            kernel = np.tensordot(basis.T, kernel, 1) if octave < self.LOW else kernel
            weight = torch.tensor(kernel, dtype=torch.float32).permute(2, 0, 1).unsqueeze(2)  # (24, rank, 1, blocks)
            weight = weight.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"octave{octave}", weight, persistent=False)
        self.reach = self.octave0.shape[-1] // 2 * HOP  # samples that the longest kernel reaches to each side

    def transform(self, waveform: Tensor) -> Tensor:
        """Return |CQT|^2; ValueError if the waveform is too short to be reflected."""
        samples = waveform.shape[-1]
        if samples <= self.reach:
            raise ValueError(f"{samples} samples are too short: the reflected ends of the CQT need {self.reach + 1}")
        frames = samples // HOP + 1
        # Reflection by slices: the gradient of F.pad's reflection is not deterministic on CUDA.
        before, after = waveform[:, 1 : self.reach + 1].flip(-1), waveform[:, -self.reach - 1 : -1].flip(-1)
        blocks = _blocks(torch.cat([before, waveform, after], dim=-1))  # (batch, blocks, 256)
        low = blocks @ self.basis.to(waveform.dtype)  # (batch, blocks, rank)
        octaves = []
        for octave in range(self.BINS // self.PER_OCTAVE):
            weight = self.get_buffer(f"octave{octave}").to(waveform.dtype)
            # As an image one pixel high the blocks lie as 2-D convolutions read them; conv1d copies them first.
            filtered = F.conv2d((low if octave < self.LOW else blocks).mT.unsqueeze(2), weight).squeeze(2)
            first = self.reach // HOP - weight.shape[-1] // 2  # block where the first frame's kernel begins
            real, imaginary = filtered[..., first : first + frames].mT.chunk(2, dim=-1)
            octaves.append(real.square() + imaginary.square())
        return torch.cat(octaves, dim=-1).mT


class MultiResolutionSTFT(Spectrum):
    """Power of STFTs of several frame sizes at once, each with a hop of a quarter of its frame.

    A short frame hears when a note begins, a long one hears noise between its partials. As a loss: R. Yamamoto et al.,
    "Parallel WaveGAN", 2020; J. Engel et al., "DDSP", 2020. Here it is equation (3) on each size, and the mean of all:
    a size of N samples has N / 2 + 1 bins every N / 4 samples, so that sizes weigh the same to half a percent. The
    power is scaled to that of 1,024 samples, which gives the loss one `eps`, and zeros continue the waveform at both
    ends, so that every frame is centred on a hop. In: ``(batch, samples)``; out: ``(batch, bins, blocks)``, a block for
    each hop of the longest frame, with the bins of all frames in it, size by size.

    Parameters
    ----------
    frames : tuple of int
        Frame sizes in samples, powers of two.
    """

    def __init__(self, frames: tuple[int, ...] = (512, 1024, 2048, 4096)) -> None:
        super().__init__()
        self.frames = frames
        for frame in frames:
            self.register_buffer(f"window{frame}", torch.hann_window(frame) * (FRAME / frame), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return the power."""
        samples, block = waveform.shape[-1], max(self.frames) // 4
        whole = -(-samples // block) * block
        powers = []
        for frame in self.frames:
            before = (frame - frame // 4) // 2
            padded = F.pad(waveform, (before, whole - samples + frame - frame // 4 - before))
            power, _ = _Power.apply(padded, self.get_buffer(f"window{frame}").to(waveform.dtype))
            powers.append(power.unflatten(1, (whole // block, -1)).flatten(2))
        return torch.cat(powers, dim=-1).mT


SPECTRA = {"STFT": STFT, "MFC": MFC, "CQT": CQT, "MRSTFT": MultiResolutionSTFT}
