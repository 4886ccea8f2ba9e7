"""Whether the labelled pitch is heard: by a pitch tracker in its range, by the energy of partials outside it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import librosa
import numpy as np

from ..nsynth.audio import SAMPLE_RATE

TRACKED = 46.875, 2093.75  # Hz, the range of the pitch tracker
CENTS = 50  # half the way to the next key
FOUND = 0.6  # share of a target that must be heard at its label for a method to be trusted with it
FRAME, HOP = 8192, 1024  # samples: 512 ms, which tell sines 8 Hz apart
GONE = 30  # dB below its peak at which a note counts as gone


def pitch_heard(generated: np.ndarray, target: np.ndarray, frequency: float) -> tuple[float, float]:
    """Return the share of a note heard at its label's pitch, and that heard at it or at octaves of it: 0 to 1.

    Shares of the loudness of the frames (power to the 0.3; S. S. Stevens, 1955) within 50 cents. Where the tracker
    (swift-f0; L. Nieradzik, "SwiftF0", arXiv:2508.18440) finds the label in the target, it judges the generated note
    too. Where it does not, out of its range or where partials are not harmonic (a vibraphone's), `partials_heard`
    judges; if that hears the target an octave off its label, that octave is right. A note that fits the target better
    when moved by a semitone or an octave (`moved`) is not at the label.

    Parameters
    ----------
    generated, target : ndarray, shape (samples,)
        Waveforms at 16 kHz.
    frequency : float
        Fundamental of the label, in Hz.
    """
    ours, theirs = frames(generated), frames(target)
    if TRACKED[0] <= frequency <= TRACKED[1] and _shares(*_track(target), frequency)[0] >= FOUND:
        heard, chroma = _shares(*_track(generated), frequency)
    else:
        found = partials_heard(theirs, frequency)
        octaves = (frequency, 2 * frequency, frequency / 2)
        right = next((fundamental for fundamental in octaves if _shares(*found, fundamental)[0] >= FOUND), frequency)
        heard, chroma = _shares(*partials_heard(ours, frequency), right)
    off = moved(ours, theirs)
    return 0.0 if off else heard, 0.0 if off in (1, -1) else chroma


def moved(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Return by how many semitones (0, 1 or 12 up or down) our spectrum is moved from the target's, by correlation.

    Takes power ``(4097, frames)`` in frames of 512 ms, and compares mean spectra in quarter tones from 20 Hz to 8 kHz,
    power to the 1/4, so that weak partials count.
    """
    edges = 20 * 2 ** np.arange(0, np.log2(SAMPLE_RATE / 2 / 20), 1 / 24)
    bins = np.arange(len(ours)) * SAMPLE_RATE / FRAME
    one, other = (np.diff(np.interp(edges, bins, np.cumsum(power.mean(1)))) ** 0.25 for power in (ours, theirs))

    def fit(semitones: int) -> float:
        high, low = (one, other) if semitones > 0 else (other, one)
        apart = 2 * abs(semitones)
        return float(np.corrcoef(high[apart:], low[: len(low) - apart])[0, 1])

    return max((0, 1, -1, 12, -12), key=fit)


@lru_cache
def _tracker() -> Any:
    from swift_f0 import SwiftF0  # its runtime takes a second to load

    return SwiftF0(threads=1, spin=False)


def _track(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fundamental (Hz) and level (dB) of each frame; at half of full scale, since quiet passes for silence."""
    found = _tracker().detect(0.5 * waveform / np.abs(waveform).max(), SAMPLE_RATE)
    return found.pitch_hz, found.loudness_db


def _shares(frequencies: np.ndarray, levels: np.ndarray, frequency: float) -> tuple[float, float]:
    sounds = levels > levels.max() - GONE
    loudness = 10 ** (0.03 * levels[sounds])
    cents = 1200 * np.log2(frequencies[sounds] / frequency)
    octave = (cents + 600) % 1200 - 600
    right, chroma = (loudness[np.abs(off) < CENTS].sum() / loudness.sum() for off in (cents, octave))
    return float(right), float(chroma)


def partials_heard(power: np.ndarray, frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the fundamental (Hz) that fits the partials of each frame best, and the frame's level (dB).

    Of all fundamentals within 13 semitones of the label's `frequency` (Hz), that with most power, ``(4097, frames)`` in
    frames of 512 ms, on its first ten partials and least half-way between them (power to the 1/4, so that weak partials
    count): half the true one has nothing on every other partial, twice the true one has partials half-way.
    """
    strength = power**0.25
    bins = np.arange(len(power))
    candidates = frequency * 2 ** (np.arange(-1300, 1301, 10) / 1200)
    candidates = candidates[(candidates > 10) & (candidates < SAMPLE_RATE / 2.1)]
    fits = []
    for fundamental in candidates:
        numbers = np.arange(1, min(10, int(SAMPLE_RATE / 2.05 / fundamental)) + 1)
        places = np.stack([numbers, numbers - 0.5]) * fundamental * FRAME / SAMPLE_RATE
        below = places.astype(int)
        part = (places - below)[..., None]
        on, between = strength[below] * (1 - part) + strength[np.minimum(below + 1, bins[-1])] * part
        fits.append((on - between).mean(0))
    return candidates[np.argmax(fits, axis=0)], 10 * np.log10(power.sum(0) + 1e-20)


def frames(waveform: np.ndarray, center: bool = True) -> np.ndarray:
    """Return the power ``(4097, frames)`` of Hann frames of 512 ms."""
    return np.abs(librosa.stft(waveform, n_fft=FRAME, hop_length=HOP, center=center)) ** 2
