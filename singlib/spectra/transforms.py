"""Differentiable transforms of waveforms ``(..., samples)`` to ``(..., bins, frames)``: STFT, MFC, CQT, and an MRSTFT.

With the default `power=2` none takes a square root, and none clamps a level below its peak: gradients are finite on
digital silence and do not vanish in quiet bins (except at MFC's floor of -100 dB, which is librosa's).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

SAMPLE_RATE = 16_000  # Hz
FRAME, HOP = 1024, 256  # samples


def _blocks(waveform: Tensor, hop: int) -> Tensor:
    """Cut waveforms ``(batch, samples)`` into blocks of one hop, ``(batch, samples // hop, hop)``."""
    return waveform[:, : waveform.shape[-1] // hop * hop].unflatten(-1, (-1, hop))


class _Power(torch.autograd.Function):
    """|rfft|^2 of windowed frames of waveforms ``(batch, samples)`` -> ``(batch, frames, bins)``, and the rfft.

    The hop divides the window. torch's own backward of rfft transforms both halves of the spectrum in complex
    numbers; the inverse real transform is the same sum in less than half the time. Squares, not the modulus: that has
    no gradient at zero, and notes end in digital silence. The rfft is an output, without a gradient, since torch.func
    keeps nothing else.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(waveform: Tensor, window: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft(waveform.unfold(-1, len(window), hop) * window)
        return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag), spectrum

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
        waveform, window, ctx.hop = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or zeros as large as the rfft would be made for its gradient
        ctx.save_for_backward(waveform, window, output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor | None, _: None) -> tuple[Tensor | None, None, None]:
        if gradient is None:
            return None, None, None
        waveform, window, spectrum = ctx.saved_tensors
        frame, hop = len(window), ctx.hop
        if torch.is_grad_enabled():  # of a gradient of this gradient: the kept spectrum is outside the graph
            spectrum = torch.fft.rfft(waveform.unfold(-1, frame, hop) * window)
        # dS_k/dx_n = 2 Re(X_k e^{2 pi i k n / N}); irfft takes every k twice, but for the first and the last.
        weighted = torch.view_as_complex(torch.view_as_real(spectrum) * gradient.unsqueeze(-1))
        weighted[..., :: frame // 2] *= 2
        frames = torch.fft.irfft(weighted, norm="forward").mul_(window).unflatten(-1, (-1, hop))
        summed = torch.zeros_like(waveform)
        blocks = _blocks(summed, hop)
        for part in range(frame // hop):
            blocks[:, part : part + frames.shape[1]] += frames[:, :, part]
        return summed, None, None


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
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(spectrum, output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None, None]:
        if gradient is None:
            return None, None, None
        spectrum, difference = ctx.saved_tensors
        weight = (gradient / difference.shape[-2:].numel())[..., None, None]
        of_spectrum, of_level = ctx.needs_input_grad[:2]
        return (
            difference.sgn().div_(spectrum + ctx.eps).mul_(weight) if of_spectrum else None,
            difference.sgn().neg_().mul_(weight) if of_level else None,
            None,
        )


class Spectrum(nn.Module, ABC):
    """A transform of waveforms, and its level, the l of equation (3); your own is a subclass with a `transform`.

    In memory a frame's bins lie together: arithmetic on two spectra is fast where both have the same layout.
    """

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of waveforms.

        Parameters
        ----------
        waveform : Tensor, shape (samples,), (batch, samples) or (batch, channels, samples)
            At the transform's sample rate, of any floating dtype. Half precision is computed in float32, under autocast
            too.

        Returns
        -------
        Tensor, shape (..., bins, frames)

        Raises
        ------
        TypeError, ValueError
            If the waveform is no floating tensor, has another shape, or is too short; if the transform's own kernels
            are in half precision; if `transform` gives another shape.
        """
        if not isinstance(waveform, Tensor):
            raise TypeError(f"the waveform is a {type(waveform).__name__}; it must be a torch.Tensor")
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
        if spectrum.ndim != 3 or len(spectrum) != len(flat):
            name, shape = type(self).__name__, tuple(spectrum.shape)
            raise ValueError(
                f"{name}.transform gave shape {shape} of {len(flat)} waveforms; it is (batch, bins, frames)"
            )
        return spectrum if len(leading) == 1 else spectrum.reshape(*leading, *spectrum.shape[1:])

    @abstractmethod
    def transform(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of waveforms ``(batch, samples)`` in float32 or float64: ``(batch, bins, frames)``."""

    def level(self, spectrum: Tensor, eps: float) -> Tensor:
        """Return log(eps + S) of a power spectrum S, elementwise."""
        return torch.log(eps + spectrum)

    def distance(self, spectrum: Tensor, level: Tensor, eps: float) -> Tensor:
        """Return the mean absolute difference of each note's `level` to a given one: the leading dimensions."""
        return _Distance.apply(spectrum, level, eps)[0]


class STFT(Spectrum):
    """Power of the short-time Fourier transform, scaled as `librosa.stft`; frames are not centred.

    So the ends of a waveform count less: its first sample and the last ``(samples - n_fft) % hop_length`` not at all,
    those near them little. Where that matters, as in short segments, pad both waveforms by half a frame.

    In: ``(batch, samples)``; out: ``(batch, n_fft // 2 + 1, (samples - n_fft) // hop_length + 1)``.

    Parameters
    ----------
    n_fft : int
        Samples of a frame, even.
    hop_length : int
        Samples from one frame to the next, a divisor of `n_fft`.
    window : str
        A name that `scipy.signal.get_window` knows.
    power : float
        2 for power, 1 for the magnitude, whose gradient is taken to be 0 below 1e-7.

    Raises
    ------
    ValueError
        If `n_fft` is odd, `hop_length` does not divide it, or `power` is neither.
    """

    def __init__(self, n_fft: int = FRAME, hop_length: int = HOP, window: str = "hann", power: float = 2.0) -> None:
        super().__init__()
        _check_positive(n_fft=n_fft, hop_length=hop_length)
        if n_fft % 2 or n_fft % hop_length:
            raise ValueError(
                f"n_fft {n_fft} is not even"
                if n_fft % 2
                else f"hop_length {hop_length} does not divide n_fft {n_fft}; choose for example {n_fft // 4}"
            )
        self.n_fft, self.hop_length, self.power = n_fft, hop_length, _checked_power(power)
        self.register_buffer("window", _window(window, n_fft), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return |STFT|^2; ValueError if the waveform is shorter than one frame."""
        if waveform.shape[-1] < self.n_fft:
            raise ValueError(f"{waveform.shape[-1]} samples are less than one frame of {self.n_fft}")
        power = _Power.apply(waveform, self.window.to(waveform.dtype), self.hop_length)[0].mT
        return _raised(power, self.power)


class MFC(Spectrum):
    """Mel-frequency cepstrum after librosa's conventions, which the authors called.

    Slaney mels on the frames of `STFT`, decibels, coefficients of an orthonormal DCT-II, without librosa's clamp at
    80 dB below the peak, where the gradient would be zero. Equation (7) writes a natural logarithm and an unscaled DCT,
    the same up to a constant for each coefficient, and squares the mel weights, which librosa does not. In:
    ``(batch, samples)``; out: ``(batch, n_mfcc, frames)``, in decibels.

    Parameters
    ----------
    squared : bool
        Equation (3) taken literally squares the coefficients like amplitudes, log(eps + c^2), which loses their sign.
        False leaves the plain coefficients, whose L1 distance is a distance of log spectra already.
    sample_rate : float
        Of the waveforms, in Hz.
    n_fft, hop_length : int
        Of `STFT`.
    n_mels, n_mfcc : int
        Number of mel bands, and of coefficients kept, at most as many.
    fmin, fmax : float
        Ends of the mel bands in Hz; by default 0 and half the sample rate.

    Raises
    ------
    ValueError
        If `STFT` refuses a size, `n_mfcc` is above `n_mels`, or the ends are not 0 <= fmin < fmax <= sample_rate / 2.
    """

    FLOOR = 1e-10  # librosa's amin, -100 dB

    def __init__(
        self,
        *,
        squared: bool = True,
        sample_rate: float = SAMPLE_RATE,
        n_fft: int = FRAME,
        hop_length: int = HOP,
        n_mels: int = 128,
        n_mfcc: int = 20,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        super().__init__()
        _check_positive(sample_rate=sample_rate, n_mels=n_mels, n_mfcc=n_mfcc)
        if n_mfcc > n_mels:
            raise ValueError(f"n_mfcc {n_mfcc} is above n_mels {n_mels}: no more coefficients than bands")
        highest = sample_rate / 2 if fmax is None else fmax
        if not 0 <= fmin < highest <= sample_rate / 2:
            raise ValueError(f"fmin {fmin:g} and fmax {highest:g} Hz are not between 0 and {sample_rate / 2:g} Hz")
        self.squared = squared
        self.stft = STFT(n_fft, hop_length)
        mel, dct = _mel_filters(sample_rate, n_fft, n_mels, n_mfcc, fmin, highest)
        self.register_buffer("mel", torch.tensor(mel, dtype=torch.float32), persistent=False)
        self.register_buffer("dct", torch.tensor(dct, dtype=torch.float32), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return the coefficients."""
        return self.of_power(self.stft.transform(waveform))

    def of_power(self, power: Tensor) -> Tensor:
        """Return the coefficients from a `STFT`: ``(batch, bins, frames)`` -> ``(batch, n_mfcc, frames)``."""
        # As a convolution of kernel 1: on CPU twice as fast as the matrix product that it is.
        mel = F.conv2d(power.unsqueeze(2), self.mel.to(power.dtype).T[:, :, None, None])
        decibel = 10 * torch.log10(mel.squeeze(2).mT.clamp(min=self.FLOOR))  # (batch, frames, n_mels)
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
    """Power of the constant-Q transform: by default 84 bins from C1 (32.7 Hz), 12 an octave, hop 256.

    J. C. Brown, "Calculation of a constant Q spectral transform", JASA 89, 1991 (equation 5), with nnAudio's kernels
    and librosa's scaling, centred frames and reflected ends. The 84 bins end at 3,951 Hz at any sample rate; 108 end at
    15,804 Hz. In: ``(batch, samples)``; out: ``(batch, n_bins, samples // hop_length + 1)``.

    nnAudio pads every kernel to the longest (16,384 samples). Here each octave keeps its own length, a multiple of the
    hop, and is a convolution over blocks of one hop. The low octaves share a basis: they vary so slowly that a block
    has only a few dozen directions for them.

    Parameters
    ----------
    sample_rate : float
        Of the waveforms, in Hz.
    hop_length : int
        Samples from one frame to the next.
    fmin : float
        Centre of the lowest bin, in Hz.
    n_bins, bins_per_octave : int
        Number of bins, in all and in an octave.
    filter_scale : float
        Length of the kernels, in parts of the Q of `bins_per_octave`: shorter ones hear time better, and pitch worse.
    power : float
        2 for power, 1 for the magnitude, whose gradient is taken to be 0 below 1e-7.

    Raises
    ------
    ValueError
        If a size is not above 0, a bin lies above half the sample rate, or `power` is neither.
    """

    FMIN = 32.70319566257483  # C1

    def __init__(
        self,
        sample_rate: float = SAMPLE_RATE,
        hop_length: int = HOP,
        fmin: float = FMIN,
        n_bins: int = 84,
        bins_per_octave: int = 12,
        filter_scale: float = 1.0,
        power: float = 2.0,
    ) -> None:
        super().__init__()
        sizes = {"sample_rate": sample_rate, "hop_length": hop_length, "fmin": fmin, "n_bins": n_bins}
        sizes |= {"bins_per_octave": bins_per_octave, "filter_scale": filter_scale}
        _check_positive(**sizes)
        most = 1 + math.floor(bins_per_octave * math.log2(sample_rate / 2 / fmin)) if fmin <= sample_rate / 2 else 0
        if n_bins > most:
            raise ValueError(
                f"n_bins {n_bins} from fmin {fmin:g} Hz reach above half the sample rate, {sample_rate / 2:g} Hz: "
                f"at most {most} fit"
            )
        self.hop_length, self.power = hop_length, _checked_power(power)
        basis, octaves, self.low = _cqt_kernels(*sizes.values())
        self.register_buffer("basis", torch.tensor(basis, dtype=torch.float32), persistent=False)
        for number, octave in enumerate(octaves):
            weight = torch.tensor(octave, dtype=torch.float32).permute(2, 0, 1).unsqueeze(2)
            weight = weight.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"octave{number}", weight, persistent=False)
        self.octaves = len(octaves)
        self.reach = self.octave0.shape[-1] // 2 * hop_length  # samples of the longest kernel to each side

    def transform(self, waveform: Tensor) -> Tensor:
        """Return |CQT|^2; ValueError if the waveform is too short to be reflected."""
        samples, hop = waveform.shape[-1], self.hop_length
        if samples <= self.reach:
            raise ValueError(
                f"{samples} samples are too short: the reflected ends of the CQT need {self.reach + 1}; a higher fmin "
                "or a smaller filter_scale needs fewer"
            )
        frames = samples // hop + 1
        # Reflection by slices: the gradient of F.pad's reflection is not deterministic on CUDA.
        before, after = waveform[:, 1 : self.reach + 1].flip(-1), waveform[:, -self.reach - 1 : -1].flip(-1)
        blocks = _blocks(torch.cat([before, waveform, after], dim=-1), hop)  # (batch, blocks, hop)
        low = blocks @ self.basis.to(waveform.dtype)  # (batch, blocks, rank)
        powers = []
        for octave in range(self.octaves):
            weight = self.get_buffer(f"octave{octave}").to(waveform.dtype)
            # As an image one pixel high the blocks lie as 2-D convolutions read them; conv1d copies them first.
            filtered = F.conv2d((low if octave < self.low else blocks).mT.unsqueeze(2), weight).squeeze(2)
            first = self.reach // hop - weight.shape[-1] // 2  # block where the first frame's kernel begins
            real, imaginary = filtered[..., first : first + frames].mT.chunk(2, dim=-1)
            powers.append(real.square() + imaginary.square())
        return _raised(torch.cat(powers, dim=-1).mT, self.power)


# A low octave: fewer periods than this of its highest frequency in a block. One octave more would span most of it.
_PERIODS = 8.5
_PRECISION = 1e-6  # of the largest singular value: what the basis omits is below float32's rounding


@cache
def _cqt_kernels(
    sample_rate: float, hop: int, fmin: float, n_bins: int, per_octave: int, filter_scale: float
) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Return the basis of the low octaves, ``(hop, rank)``, the kernels of every octave, and how many are low.

    Kernels are ``(hop or rank, blocks, 2 * bins)``, all real parts before all imaginary ones. They are no tensors,
    since a tensor keeps the device and the inference mode that it was made in for whoever gets it from the cache.
    """
    octaves = _octaves(sample_rate, hop, fmin, n_bins, per_octave, filter_scale)
    low = sum(fmin * 2 ** (number + 1) * hop / sample_rate <= _PERIODS for number in range(len(octaves)))
    basis = _directions(octaves[:low]) if low else np.zeros((hop, 0))
    weights = [np.tensordot(basis.T, kernels, 1) if number < low else kernels for number, kernels in enumerate(octaves)]
    return basis, weights, low


def _octaves(
    sample_rate: float, hop: int, fmin: float, n_bins: int, per_octave: int, filter_scale: float
) -> list[np.ndarray]:
    """Return each octave's kernels, ``(hop, blocks, 2 * bins)``, rounded to single precision.

    To the bit those of nnAudio's `create_cqt_kernels`, which makes all as long as the longest and takes a second to
    import.
    """
    quality = filter_scale / (2 ** (1 / per_octave) - 1)
    frequencies = fmin * 2.0 ** (np.arange(n_bins) / per_octave)
    lengths = np.ceil(quality * sample_rate / frequencies).astype(int)
    octaves = []
    for first in range(0, n_bins, per_octave):
        bins = range(first, min(first + per_octave, n_bins))
        half = hop * math.ceil((lengths[first] / 2 + 1) / hop)
        kernels = np.zeros((2, len(bins), 2 * half), np.float32)
        for length, frequency, kernel in zip(lengths[bins], frequencies[bins], kernels.swapaxes(0, 1), strict=True):
            time = np.arange(length // -2, length // 2)  # 0 in the middle of the kernel
            window = np.hanning(length + 1)[:-1] if length > 1 else np.ones(1)
            window /= window.sum()
            phase = time * (2 * np.pi) * frequency * (1 / sample_rate)
            kernel[:, half + time[0] : half + time[-1] + 1] = window * np.cos(phase), window * np.sin(phase)
            kernel *= np.sqrt(np.float32(length))  # as librosa.cqt
        octaves.append(kernels.reshape(2 * len(bins), -1, hop).transpose(2, 1, 0).astype(np.float64, order="C"))
    return octaves


def _directions(octaves: list[np.ndarray]) -> np.ndarray:
    """Return the directions of a block that kernels have parts in, ``(hop, rank)``: left singular vectors."""
    columns = [kernels.reshape(len(kernels), -1) for kernels in octaves]
    if sum(part.shape[1] for part in columns) <= 2000:  # the paper's CQT, whose numbers stay as they are
        vectors, strength, _ = np.linalg.svd(np.hstack(columns), full_matrices=False)
    else:  # many times as fast
        squares, vectors = np.linalg.eigh(sum(part @ part.T for part in columns))
        vectors, strength = vectors[:, ::-1], np.sqrt(squares[::-1].clip(min=0))
    return vectors[:, strength > _PRECISION * strength[0]]


@cache
def _mel_filters(
    sample_rate: float, n_fft: int, n_mels: int, n_mfcc: int, fmin: float, fmax: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Slaney's mel filters, ``(bins, n_mels)``, and the DCT, ``(n_mels, n_mfcc)``."""
    import scipy.fft  # these two take a second to import
    from librosa.filters import mel

    filters = mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    dct = scipy.fft.dct(np.eye(n_mels), norm="ortho")[:, :n_mfcc]
    return filters.T.copy(), dct


def _window(name: str, samples: int) -> Tensor:
    if name == "hann":
        return torch.hann_window(samples)
    from scipy.signal import get_window  # a second to import

    return torch.tensor(get_window(name, samples), dtype=torch.float32)


def _check_positive(**sizes: float) -> None:
    """Raise a ValueError that names a size that is not above 0, or not whole where it counts something."""
    for name, value in sizes.items():
        whole = name not in ("sample_rate", "fmin", "filter_scale")
        if not value > 0 or (whole and not isinstance(value, (int, np.integer))):
            raise ValueError(f"{name} {value!r} is not {'a whole number' if whole else ''} above 0".replace("  ", " "))


def _checked_power(power: float) -> float:
    if power not in (1, 2):
        raise ValueError(f"power {power!r} is neither 2 (power) nor 1 (magnitude)")
    return power


def _raised(power: Tensor, exponent: float) -> Tensor:
    """Return a power, or its root: the magnitude, of 1e-7 at the least, where the gradient of a root is finite."""
    return power if exponent == 2 else power.clamp(min=1e-14).sqrt()


class MultiResolutionSTFT(Spectrum):
    """Power of STFTs of several frame sizes at once, each with a hop of a quarter of its frame.

    A short frame hears when a note begins, a long one hears noise between its partials. As a loss: R. Yamamoto et al.,
    "Parallel WaveGAN", 2020; J. Engel et al., "DDSP", 2020. Here it is equation (3) on each size (log power alone,
    without the spectral convergence of the former), and the mean of all: a size of N samples has N / 2 + 1 bins every N
    / 4 samples, so that sizes weigh the same to half a percent. The power is scaled to that of 1,024 samples, which
    gives the loss one `eps`, and zeros continue the waveform at both ends, so that every frame is centred on a hop. In:
    ``(batch, samples)``; out: ``(batch, bins, blocks)``, a block for each hop of the longest frame, with the bins of
    all frames in it, size by size.

    Parameters
    ----------
    n_ffts : sequence of int
        Samples of the frames of each size, powers of two.

    Raises
    ------
    TypeError, ValueError
        If `n_ffts` is one number, is empty, or one size is no power of two from 4 on.
    """

    def __init__(self, n_ffts: Sequence[int] = (512, 1024, 2048, 4096)) -> None:
        super().__init__()
        if isinstance(n_ffts, (int, np.integer)):
            raise TypeError(f"n_ffts {n_ffts!r} is one number; it takes several, such as (512, 1024, 2048, 4096)")
        self.n_ffts = tuple(n_ffts)
        if not self.n_ffts:
            raise ValueError("n_ffts is empty: it takes sizes such as (512, 1024, 2048, 4096)")
        for n_fft in self.n_ffts:
            if not isinstance(n_fft, (int, np.integer)) or n_fft < 4 or n_fft & (n_fft - 1):
                raise ValueError(f"a frame of {n_fft!r} samples is no power of two from 4 on")
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft) * (FRAME / n_fft), persistent=False)

    def transform(self, waveform: Tensor) -> Tensor:
        """Return the power; ValueError if the waveform is shorter than the longest frame."""
        samples, longest = waveform.shape[-1], max(self.n_ffts)
        if samples < longest:
            raise ValueError(f"{samples} samples are fewer than the longest frame of {longest}")
        block = longest // 4
        whole = -(-samples // block) * block
        powers = []
        for n_fft in self.n_ffts:
            before = (n_fft - n_fft // 4) // 2
            padded = F.pad(waveform, (before, whole - samples + n_fft - n_fft // 4 - before))
            power, _ = _Power.apply(padded, self.get_buffer(f"window{n_fft}").to(waveform.dtype), n_fft // 4)
            powers.append(power.unflatten(1, (whole // block, -1)).flatten(2))
        return torch.cat(powers, dim=-1).mT


SPECTRA = {"STFT": STFT, "MFC": MFC, "CQT": CQT, "MRSTFT": MultiResolutionSTFT}
