"""Other libraries' constant-Q transforms and losses, as their users call them, beside ours.

`pip install singlib[bench]` brings them. Each takes waveforms ``(batch, samples)`` and gives what a loss would sum.
"""

import gc
import importlib
from concurrent.futures import ProcessPoolExecutor
from ctypes import CDLL
from multiprocessing import get_context
from pathlib import Path

import librosa
import numpy as np
import torch
from scipy.signal import argrelmax

from singlib.spectra import CQT, MFC, MultiResolutionSTFT, SpectralLoss

SETTINGS = {  # sample rate, hop, bins, bins an octave
    "16 kHz, 84 bins": (16_000, 256, 84, 12),
    "22.05 kHz, 84 bins": (22_050, 512, 84, 12),
    "44.1 kHz, 96 bins": (44_100, 512, 96, 24),
}
BATCH, SECONDS = 8, 4


def waveforms(rate, seed=0):
    """Return `BATCH` waveforms of `SECONDS`, whole thousands of samples, that ask for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(BATCH, SECONDS * rate, generator=generator) / 10).requires_grad_()


def our_cqt(rate, hop, bins, octave):
    return CQT(rate, hop, n_bins=bins, bins_per_octave=octave)


def _nnaudio(name, rate, hop, bins, octave):
    make = getattr(importlib.import_module("nnAudio.features"), name)
    sizes = {"hop_length": hop, "fmin": CQT.FMIN, "n_bins": bins, "bins_per_octave": octave}
    cqt = make(rate, **sizes, output_format="Complex", verbose=False)
    return lambda waveform: cqt(waveform, normalization_type="librosa").square().sum(-1)


def cqt1992v2(*setting):
    """Take nnAudio's with each kernel in the time domain, as long as the longest."""
    return _nnaudio("CQT1992v2", *setting)


def cqt2010v2(*setting):
    """Take nnAudio's with one octave's kernels, on a waveform at half the rate for each octave below."""
    return _nnaudio("CQT2010v2", *setting)


def auvux(rate, hop, bins, octave):
    """Take auvux-dsp's, decimation by octaves in C++."""
    dsp = importlib.import_module("auvux.dsp")
    dsp.set_num_threads(torch.get_num_threads())
    return dsp.CQT(sr=rate, hop_length=hop, n_bins=bins, bins_per_octave=octave, fmin=CQT.FMIN, output="power")


def cqt_pytorch(rate, hop, bins, octave):
    """Take cqt-pytorch's, windows on the FFT of the whole waveform. Bins go down from half the rate; it has no hop."""
    make = importlib.import_module("cqt_pytorch").CQT
    cqt = make(bins // octave, octave, rate, block_length=SECONDS * rate)

    def power(waveform):
        spectrum = cqt.encode(waveform.unsqueeze(1)).squeeze(1)
        return spectrum.real.square() + spectrum.imag.square()

    return power


# Function -> the distribution that it needs, and whether it is librosa's transform, frame by frame.
CQTS = {cqt1992v2: ("nnAudio", True), cqt2010v2: ("nnAudio", True), auvux: ("auvux-dsp", True)}
CQTS |= {cqt_pytorch: ("cqt-pytorch", False)}


def our_multi_resolution_loss():
    return SpectralLoss(MultiResolutionSTFT())


def auraloss_multi_resolution():
    """Return the log magnitude part of auraloss's loss, at our frames and hops."""
    frames = [512, 1024, 2048, 4096]
    named = {"fft_sizes": frames, "hop_sizes": [frame // 4 for frame in frames], "win_lengths": frames, "w_sc": 0.0}
    loss = importlib.import_module("auraloss").freq.MultiResolutionSTFTLoss(**named)
    return lambda estimate, target: loss(estimate.unsqueeze(1), target.unsqueeze(1))


def our_mfc_loss():
    return SpectralLoss(MFC(squared=False))


def auraloss_mel():
    """Return auraloss's of log mel magnitudes at our frames and hop; ours is of the decibels' DCT."""
    loss = importlib.import_module("auraloss").freq.MelSTFTLoss(16_000, 1024, 256, 1024, n_mels=128, w_sc=0.0)
    return lambda estimate, target: loss(estimate.unsqueeze(1), target.unsqueeze(1))


LOSSES = {auraloss_multi_resolution: our_multi_resolution_loss, auraloss_mel: our_mfc_loss}


def difference_from_librosa(transform, rate, hop, bins, octave):
    """Return the largest difference from librosa.cqt's magnitude in its peaks down to 20 dB, relative.

    Of kernels with librosa's Q and of kernels with ours (librosa's is smaller by a few percent), the smaller one.
    """
    time = np.arange(2 * rate) / rate
    notes = [2 * np.pi * 440 * 2 ** (semitones / 12) for semitones in (-19, -12, 0, 4)]
    sound = sum(np.sin(note * time + phase) for phase, note in enumerate(notes)) * np.hanning(2 * rate) / 8
    quiet = np.zeros(2 * rate)  # so that it does not matter how the ends are padded
    sound = np.concatenate([quiet, sound, quiet]).astype("float32")
    ours = transform(torch.from_numpy(sound)[None])[0].sqrt().numpy()
    frequencies = librosa.cqt_frequencies(bins, fmin=CQT.FMIN, bins_per_octave=octave)
    lengths, _ = librosa.filters.wavelet_lengths(freqs=frequencies, sr=rate)
    our_length = rate / CQT.FMIN / (2 ** (1 / octave) - 1)
    named = {"sr": rate, "hop_length": hop, "fmin": CQT.FMIN, "n_bins": bins, "bins_per_octave": octave}
    differences = []
    for scale in (1, our_length / lengths[0]):
        theirs = np.abs(librosa.cqt(sound, **named, filter_scale=scale, sparsity=0, res_type="soxr_vhq"))
        rows, frames = argrelmax(theirs)
        loud = theirs[rows, frames] > 0.1 * theirs.max()
        rows, frames = rows[loud], frames[loud]
        differences.append(np.abs(ours[rows, frames] / theirs[rows, frames] - 1).max())
    return min(differences)


def _status(field):
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows[field].split()[0]) / 1024


def _peak(threads, make, setting):
    torch.set_num_threads(threads)
    waveform = waveforms(setting[0])
    make(8_000, 256, 12, 12)(waveforms(8_000))  # what it imports
    gc.collect()
    CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    transform = make(*setting)
    gc.collect()
    CDLL(None).malloc_trim(0)  # what only the making of kernels took
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    for _ in range(2):
        waveform.grad = None
        transform(waveform).mean().backward()
    return _status("VmHWM") - before


def peak(make, setting):
    """Return the largest memory, in MB, that kernels, forward and backward take in a process of their own (Linux)."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_peak, torch.get_num_threads(), make, setting).result()
