"""Controls: notes spoilt in known ways, to find out what a measure of quality detects.

Each function takes the waveform of a real note, ``(samples,)`` at 16 kHz, and returns one of the same length; what is
random follows from a seed. `controls` makes all of them.
"""

from collections.abc import Sequence

import librosa
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .. import nsynth
from ..nsynth import SAMPLE_RATE, TABLE2, Label, read_waveform, selection
from .grades import grade

FRAME, HOP = 1024, 256  # samples, those of the paper's spectrograms


def click(waveform: np.ndarray) -> np.ndarray:
    """Return the loudest sample of the note alone."""
    return np.where(np.arange(len(waveform)) == np.abs(waveform).argmax(), waveform, 0)


def added_noise(waveform: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    """Return the note in white noise; `snr` is the ratio of their powers, in dB."""
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    power = np.mean(waveform**2) / np.mean(noise**2) * 10 ** (-snr / 10)
    return (waveform + np.sqrt(power) * noise).astype(waveform.dtype)


def stationary_noise(waveform: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return static noise of the note's power and mean spectrum: the "non-modulating bars" of Figure 16."""
    noise = np.random.default_rng(seed).standard_normal(len(waveform)).astype(waveform.dtype)
    colour = np.sqrt(np.mean(np.abs(_stft(waveform)) ** 2, axis=1, keepdims=True))
    return same_power(_istft(_stft(noise) * colour, len(waveform)), waveform)


def modulated_noise(waveform: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return `stationary_noise` under the note's envelope: "amplitude modulated static noise"."""
    return same_power(stationary_noise(waveform, seed) * envelope(waveform), waveform)


def without_envelope(waveform: np.ndarray, floor: float = 40) -> np.ndarray:
    """Return the note held at one level, but for what lies `floor` dB below its peak."""
    level = envelope(waveform)
    return same_power(waveform / np.maximum(level, level.max() * 10 ** (-floor / 20)), waveform)


def shifted(waveform: np.ndarray, semitones: float) -> np.ndarray:
    """Return the note at another pitch and the same speed."""
    if not semitones:
        return waveform
    return librosa.effects.pitch_shift(waveform, sr=SAMPLE_RATE, n_steps=semitones)


def faster(waveform: np.ndarray, cents: float) -> np.ndarray:
    """Return the note played faster, and so at a higher pitch; its length changes too."""
    return librosa.resample(waveform, orig_sr=SAMPLE_RATE * 2 ** (cents / 1200), target_sr=SAMPLE_RATE)


def softer(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """Return the note softer by so many dB."""
    return (waveform * 10 ** (-decibels / 20)).astype(waveform.dtype)


def another_instrument(data: str, label: Label) -> np.ndarray:
    """Return another instrument's note, the nearest, shifted to the label's pitch; ValueError if there is none."""
    others = [other for other in nsynth.index(data) if other.role != label.role]
    if not others:
        raise ValueError(f"data/{data} has no other instrument than {label.role} to set beside it")
    nearest = selection.nearest_of(others, label.pitch, label.velocity)
    return shifted(read_waveform(nsynth.index(data)[nearest]), label.pitch - nearest.pitch)


def phases_randomised(waveform: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the note with a random phase for each frequency of its STFT, the same in all frames: a sound-alike.

    (With new phases in every frame each partial would flutter, which is noise under the note's spectrogram.)
    """
    transform = _stft(waveform)
    turn = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(transform), 1))
    return same_power(_istft(transform * np.exp(1j * turn), len(waveform)), waveform)


def rebuilt(waveform: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the note rebuilt from the magnitude of its STFT (D. Griffin and J. Lim, 1984): a sound-alike."""
    magnitude = np.abs(_stft(waveform))
    return librosa.griffinlim(magnitude, n_iter=64, hop_length=HOP, length=len(waveform), random_state=seed)


def controls(data: str, label: Label) -> dict[str, np.ndarray]:
    """Make every control of a note of a data folder, name -> waveform; the first is the note itself.

    Those at another pitch are shifted towards the middle of the piano.
    """
    waveform = read_waveform(nsynth.index(data)[label])
    semitone = 1 if label.pitch < 65 else -1
    return {
        "the note itself": waveform,
        "phases randomised": phases_randomised(waveform),
        "rebuilt by Griffin-Lim": rebuilt(waveform),
        **{f"noise at {snr} dB": added_noise(waveform, snr) for snr in (20, 10, 0)},
        "a semitone off": shifted(waveform, semitone),
        "an octave off": shifted(waveform, 12 * semitone),
        "envelope removed": without_envelope(waveform),
        "backwards": waveform[::-1].copy(),
        "another instrument": another_instrument(data, label),
        "modulated noise": modulated_noise(waveform),
        "stationary noise": stationary_noise(waveform),
        **{f"{decibels} dB softer": softer(waveform, decibels) for decibels in (30, 40, 50)},
        "a click": click(waveform),
        "silence": np.zeros_like(waveform),
    }


def held_out(data: str, each: int | None = None) -> list[Label]:
    """List every other note of a data folder, or `each` many of each instrument, evenly over pitch.

    Thresholds were fixed on the first, third, ... note, and are tried on these.
    """
    labels = list(nsynth.index(data))[1::2]
    if each is None:
        return labels
    chosen = []
    for role in TABLE2:
        own = [label for label in labels if label.role == role]
        chosen += [own[int((place + 0.5) * len(own) / each)] for place in range(min(each, len(own)))]
    return chosen


def grade_controls(data: str, labels: Sequence[Label]) -> pd.DataFrame:
    """Measure and grade every control of some notes.

    Returns a row for each note and control: ``role``, ``pitch``, ``velocity``, ``control``, the measures, ``grade``.
    """
    rows = []
    # A few notes take seconds, and their bar would stay in the notebook, at 0 %.
    for label in tqdm(labels, desc="notes", mininterval=5, disable=len(labels) <= len(TABLE2)):
        made = controls(data, label)
        for name, waveform in made.items():
            measured = grade(waveform, made["the note itself"], label.pitch)
            rows.append(label._asdict() | {"control": name} | measured)
    return pd.DataFrame(rows)


def envelope(waveform: np.ndarray) -> np.ndarray:
    """Return the level around each sample (RMS of frames of 64 ms), ``(samples,)``."""
    level = librosa.feature.rms(y=waveform, frame_length=FRAME, hop_length=HOP)[0]
    return np.interp(np.arange(len(waveform)), np.arange(len(level)) * HOP, level).astype(waveform.dtype)


def _stft(waveform: np.ndarray) -> np.ndarray:
    return librosa.stft(waveform, n_fft=FRAME, hop_length=HOP)


def _istft(transform: np.ndarray, samples: int) -> np.ndarray:
    return librosa.istft(transform, hop_length=HOP, length=samples)


def same_power(waveform: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a waveform at the mean power of another; silence stays silence."""
    power = np.mean(waveform**2)
    return (waveform * np.sqrt(np.mean(other**2) / power if power else 0.0)).astype(other.dtype)
