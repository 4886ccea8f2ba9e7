"""What a listener would hear in one generated note, as numbers: measured against its label and its target.

Waveforms are ``(samples,)`` at 16 kHz, a note held for 3 s of its 4 s as NSynth's are. The generated note is first
brought to the power of its target, so that only ``level`` depends on how loud it is: NSynth's notes are near full scale
whatever their velocity. None is a loss that a model is trained on.
"""

from functools import lru_cache
from typing import Any

import librosa
import numpy as np

from ..nsynth.audio import SAMPLE_RATE

TRACKED = 46.875, 2093.75  # Hz, the range of the pitch tracker
CENTS = 50  # half the way to the next key
TRUSTED = 0.6  # share of a target that must be heard at its label for a method to be trusted with it
FRAME, HOP = 8192, 1024  # samples: 512 ms, which tell sines 8 Hz apart
VOICED = 0.5  # confidence of the pitch tracker from which it hears a pitch
GONE = 30  # dB below its peak at which a note counts as gone


def pitch_heard(generated: np.ndarray, target: np.ndarray, frequency: float) -> tuple[float, float]:
    """Return the share of a note heard at its label's pitch, and that heard at it or at octaves of it: 0 to 1.

    Shares of the loudness of the frames (power to the 0.3; S. S. Stevens, 1955) within 50 cents of `frequency`, the
    label's fundamental (Hz). Where the tracker (swift-f0; L. Nieradzik, "SwiftF0", arXiv:2508.18440) finds the label in
    the target, it judges the generated note too. Where it does not, out of its range or where partials are not harmonic
    (a vibraphone's), `partials_heard` judges; if that hears the target an octave off its label, that octave is right. A
    note that fits the target better when moved by a semitone or an octave (`moved`) is not at the label.
    """
    ours, theirs = frames(generated), frames(target)
    if TRACKED[0] <= frequency <= TRACKED[1] and _shares(*_track(target)[:2], frequency)[0] >= TRUSTED:
        heard, chroma = _shares(*_track(generated)[:2], frequency)
    else:
        partials = partials_heard(theirs, frequency)
        octaves = (frequency, 2 * frequency, frequency / 2)
        right = next((octave for octave in octaves if _shares(*partials, octave)[0] >= TRUSTED), frequency)
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


def _track(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return fundamental (Hz), level (dB) and confidence (0 to 1) of each frame.

    At half of full scale, since quiet passes for silence.
    """
    track = _tracker().detect(0.5 * waveform / np.abs(waveform).max(), SAMPLE_RATE)
    return track.pitch_hz, track.loudness_db, track.confidence


def _shares(frequencies: np.ndarray, levels: np.ndarray, frequency: float) -> tuple[float, float]:
    sounds = levels > levels.max() - GONE
    loudness = 10 ** (0.03 * levels[sounds])
    cents = 1200 * np.log2(frequencies[sounds] / frequency)
    octave = (cents + 600) % 1200 - 600
    right, chroma = (loudness[np.abs(off) < CENTS].sum() / loudness.sum() for off in (cents, octave))
    return float(right), float(chroma)


def semitones_off(waveform: np.ndarray, frequency: float) -> float:
    """Return how far above `frequency` (Hz) a note sounds, in semitones: the median of its frames by loudness.

    NaN where the tracker hears no pitch in frames that have half of the loudness.
    """
    frequencies, levels, confidence = _track(waveform)
    sounds = levels > levels.max() - GONE
    loudness = 10 ** (0.03 * levels[sounds])
    if loudness @ (confidence[sounds] >= VOICED) < loudness.sum() / 2:
        return float("nan")
    off = 12 * np.log2(frequencies[sounds] / frequency)
    order = np.argsort(off)
    return float(off[order][np.searchsorted(np.cumsum(loudness[order]), loudness.sum() / 2)])


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


SILENT = 2**-15  # peak below which there is nothing to hear: one step of 16 bit

_SHORT, _SHORT_HOP = 2048, 512  # samples of frames for movement: 128 ms every 32 ms
_BANDS = 40  # mel bands up to 8 kHz
_AUDIBLE = 50  # dB below the loudest band that still count in a band
_LOWEST = -120.0  # dB: the level of silence, and of what is softer
# Zimtohrli writes beyond its memory with fewer than eight frames, one every 564 samples of 48 kHz.
_SHORTEST = 7 * 564 // 3 + 1
_LOUDEST = 1e6  # of full scale; Zimtohrli overflows at 1e12, and never ends on NaN
_HELD = 3.0  # seconds that NSynth's notes are held (Engel et al., 2017)


def measure(generated: np.ndarray, target: np.ndarray, pitch: float) -> dict[str, float]:
    """Measure one generated note ``(samples,)``, of the MIDI pitch of its label.

    Returns ``pitch_heard`` and ``chroma_heard`` (see `pitch_heard`), ``modulation`` and ``follows`` (`movement`),
    ``onset``, ``decay`` and ``release`` (`envelope`, each less the target's), ``noise`` and ``target_noise`` (`noise`),
    ``brightness`` and ``target_brightness`` (`brightness`), ``distance`` (`distance`), and ``level``, the mean power
    relative to the target's (dB, -120 at the least). For silence, ``distance`` is 1, and all others but ``level`` and
    the target's are 0. ValueError as `distance`, or if the target is silent.
    """
    generated, target = _comparable(generated, target)
    if np.abs(target).max() < SILENT:
        raise ValueError("the target is silent: nothing can be measured against it")
    frequency = librosa.midi_to_hz(pitch)
    of_target = {"target_noise": noise(target, frequency), "target_brightness": brightness(target)}
    if np.abs(generated).max() < SILENT:
        names = ("pitch_heard", "chroma_heard", "modulation", "follows", "onset", "decay", "release", "noise")
        return dict.fromkeys((*names, "brightness"), 0.0) | of_target | {"distance": 1.0, "level": _LOWEST}
    power, wanted = np.mean(generated**2), np.mean(target**2)
    level = float(10 * np.log10(max(power / wanted, 10 ** (_LOWEST / 10))))
    generated = generated * np.sqrt(wanted / power)
    heard, chroma = pitch_heard(generated, target, frequency)
    modulation, follows = movement(_bands(generated), _bands(target))
    onset, decay, release = map(float, np.subtract(envelope(generated), envelope(target)))
    return {
        "pitch_heard": heard,
        "chroma_heard": chroma,
        "modulation": modulation,
        "follows": follows,
        "onset": onset,
        "decay": decay,
        "release": release,
        "noise": noise(generated, frequency),
        "brightness": brightness(generated),
        "distance": distance(generated, target),
        "level": level,
    } | of_target


def _comparable(generated: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both waveforms in float64; ValueError as `distance`."""
    pair = tuple(np.asarray(waveform, np.float64) for waveform in (generated, target))
    for name, waveform in zip(("generated", "target"), pair, strict=True):
        if waveform.ndim != 1 or waveform.shape != pair[1].shape or len(waveform) < _SHORTEST:
            wanted = f"both must be (samples,), of the same length, {_SHORTEST} samples at least"
            raise ValueError(f"the {name} waveform has shape {waveform.shape} and cannot be compared: {wanted}")
        if not (np.abs(waveform) <= _LOUDEST).all():  # nor NaN
            fault = f"samples that are not finite, or beyond {_LOUDEST:g}"
            raise ValueError(f"the {name} waveform has {fault}, and cannot be compared")
    return pair


def movement(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return how much the spectrum moves in time, relative to the target's, and how much it moves with it.

    The first: 1 moves as much; near 0 are the "non-modulating bars" of Figure 16. The second is the regression of our
    levels on the target's: 1 rises and falls with it, 0 has nothing of its movement, -1 does the opposite. Both are of
    power ``(bands, frames)`` in mel bands, as levels in dB less their mean in time, weighted by loudness.
    """
    weight = theirs.mean(1) ** 0.3
    one, other = _levels(ours), _levels(theirs)
    own, common, reference = (weight @ (a * b).mean(1) for a, b in ((one, one), (one, other), (other, other)))
    return float(np.sqrt(own / reference)), float(common / reference)


def _bands(waveform: np.ndarray) -> np.ndarray:
    power = np.abs(librosa.stft(waveform, n_fft=_SHORT, hop_length=_SHORT_HOP)) ** 2
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_SHORT, n_mels=_BANDS) @ power


def _levels(power: np.ndarray) -> np.ndarray:
    level = librosa.power_to_db(power, amin=1e-20, top_db=_AUDIBLE)
    return level - level.mean(1, keepdims=True)


def envelope(waveform: np.ndarray) -> tuple[float, float, float]:
    """Return onset (s), decay (dB) and release (dB) of a note.

    Onset: when the level first comes within 10 dB of its peak. Decay: how far it lies below its peak while the note is
    held, on average: near 0 for a held horn, 15 for a piano, 28 for a wood block. Release: the same in the last half
    second; 0 of a sound that has no such time. Levels of frames of 64 ms, at most 30 dB below the peak.
    """
    level = librosa.amplitude_to_db(librosa.feature.rms(y=waveform, frame_length=1024, hop_length=256)[0], amin=1e-10)
    below = np.minimum(level.max() - level, GONE)
    seconds = np.arange(len(level)) * 256 / SAMPLE_RATE
    onset = seconds[np.argmax(below <= 10)]
    held = (seconds >= onset) & (seconds < _HELD)
    last = seconds >= _HELD + 0.5
    decay, release = (float(below[when].mean()) if when.any() else 0.0 for when in (held, last))
    return float(onset), decay, release


def noise(waveform: np.ndarray, frequency: float) -> float:
    """Return the power that lies between the partials, in dB relative to all: 0 is noise, -20 a clean tone.

    A listener hears hiss, breath or roughness: the paper's "additional tonal noise". In each frame, each stretch of the
    width of the label's fundamental (`frequency`, Hz) has its partial at the strongest bin; what is more than 3 bins
    (6 Hz) from it lies between, so that a note out of tune is not noisy. After the harmonics-to-noise ratio (E. Yumoto
    et al., 1982), by frames of 512 ms from the onset (a tenth of the peak) on, within 20 dB of the loudest, averaged by
    loudness.
    """
    onset = np.argmax(np.abs(waveform) >= 0.1 * np.abs(waveform).max())
    sounding = np.pad(waveform, (64, 0))[onset:]  # from 4 ms before the onset: the window begins with 0
    power = frames(np.pad(sounding, (0, max(0, FRAME - len(sounding)))), center=False)
    total = power.sum(0)
    power, total = power[:, total > total.max() / 100], total[total > total.max() / 100]
    number = np.round(np.arange(len(power)) * SAMPLE_RATE / FRAME / frequency)
    tonal = np.zeros(len(total))
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for stretch in np.split(power, starts[1:])[1:]:  # but the first: below half the fundamental there is no partial
        near = np.abs(np.arange(len(stretch))[:, None] - stretch.argmax(0)) <= 3
        tonal += np.where(near, stretch, 0).sum(0)
    return float(10 * np.log10(max(np.average(1 - tonal / total, weights=total**0.3), 1e-6)))


def brightness(waveform: np.ndarray) -> float:
    """Return the centre of gravity of the power spectrum, in octaves above 1 Hz.

    A listener hears dull or bright, and in that the velocity. The spectral centroid (S. McAdams et al., 1995).
    """
    power = np.abs(librosa.stft(waveform, n_fft=1024, hop_length=256)) ** 2
    return float(np.log2(librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=1024) @ power.sum(1) / power.sum()))


def distance(generated: np.ndarray, target: np.ndarray) -> float:
    """Return how unlike two notes sound to a model of the ear, 0 (the same) to 1.

    Zimtohrli (J. Alakuijala et al., "Zimtohrli: An Efficient Psychoacoustic Audio Similarity Metric",
    arXiv:2509.26133): a filter bank of the inner ear, time warping, and structural similarity. It tells what is alike
    (below 0.005), but not how bad the rest is: silence scores in the middle.

    ValueError if the waveforms are not both ``(samples,)``, of one length from 1,317 samples on, finite and within 1e6
    of full scale: Zimtohrli would crash the process.
    """
    rates = {"orig_sr": SAMPLE_RATE, "target_sr": _ear().sample_rate}
    pair = _comparable(generated, target)
    return float(_ear().distance(*(librosa.resample(waveform, **rates) for waveform in pair)))


@lru_cache
def _ear() -> Any:
    from zimtohrli import Pyohrli

    return Pyohrli()
