"""The notes of a model as a sampler plays them: which note sounds for a key, how long it is held, and their files."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soxr
from tqdm import tqdm

from ..files import replacing, write_text
from ..grid import check_choice
from ..network.generation import BATCH, FORMATS, Model
from ..nsynth import SAMPLE_RATE, Label
from ..nsynth.audio import encode
from ..runs.model_cards import card_of, graded_notes
from .target import claim

RATES = (SAMPLE_RATE, 44_100, 48_000)  # Hz
RELEASE = 0.3  # seconds in which a note fades after its key is let go

_END, _START = (2.5, 2.9), (1.0, 2.0)  # s: where a loop ends, before the release at 3 s, and where it may begin
_ENDS = 12  # zero crossings that are tried as its end
_ALIKE = 0.064  # s of the note around both ends that are compared
_MATCH, _LEVEL = 0.95, 0.9  # their least correlation, and least ratio of their norms (0.9 dB)


def trained_notes(model: Model, role: str) -> list[Label]:
    """List the notes of an instrument that a model was trained on, from low to high and from soft to loud."""
    return [Label(role, *note) for note in sorted(model.notes[role])]


def sounding(trained: Sequence[Label], pitch: int, velocity: int) -> Label:
    """Return the trained note that sounds for a key: of the nearest pitch, then velocity; of two, the lower."""

    def apart(label: Label) -> tuple[int, ...]:
        return abs(label.pitch - pitch), label.pitch, abs(label.velocity - velocity), label.velocity

    return min(trained, key=apart)


def generate_all(model: Model, labels: Sequence[Label]) -> np.ndarray:
    """Generate notes as `Model.generate`, with a progress bar where there is a terminal: ``(notes, 64000)``."""
    parts = [labels[start : start + BATCH] for start in range(0, len(labels), BATCH)] or [labels]
    bar = tqdm(parts, desc="generating notes", unit_scale=BATCH, leave=False, disable=None)
    return np.concatenate([model.generate(part) for part in bar])


def find_loop(waveform: np.ndarray, rate: int) -> tuple[int, int] | None:
    """Return first sample and end of a part of a note ``(samples,)`` that can be repeated while its key is held.

    Both ends cross zero upwards, and 64 ms around them correlate by 0.95 or more at the same level: where a jump is not
    heard. None if a note, as one that decays, has no such part.
    """
    half = round(_ALIKE * rate / 2)
    crossings = np.flatnonzero((waveform[:-1] < 0) & (waveform[1:] >= 0)) + 1
    crossings = crossings[crossings <= len(waveform) - half]
    starts, ends = (crossings[(crossings >= low * rate) & (crossings < high * rate)] for low, high in (_START, _END))
    if not len(starts) or not len(ends):
        return None
    ends = ends[np.linspace(0, len(ends) - 1, min(_ENDS, len(ends))).astype(int)]
    windows = np.lib.stride_tricks.sliding_window_view(waveform, 2 * half)
    first, last = windows[starts - half], windows[ends - half]
    norms, wanted = np.linalg.norm(first, axis=1)[:, None], np.linalg.norm(last, axis=1)
    match = first @ last.T / np.maximum(norms * wanted, 1e-9)
    match[(norms < _LEVEL * wanted) | (wanted < _LEVEL * norms)] = 0
    start, end = np.unravel_index(match.argmax(), match.shape)
    return (int(starts[start]), int(ends[end])) if match[start, end] >= _MATCH else None


def sustained(waveform: np.ndarray, seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return a note ``(samples,)`` that lasts for `seconds` at least: its loop is repeated where that is needed.

    NSynth's notes are held for 3 s. Without a loop, a note ends by itself.
    """
    needed = math.ceil(seconds * rate)
    loop = find_loop(waveform, rate) if seconds > _END[0] else None
    if loop is None or needed <= loop[1]:
        return waveform
    start, end = loop
    return np.concatenate([waveform[:end], np.tile(waveform[start:end], -(-(needed - end) // (end - start)))])


def let_go(waveform: np.ndarray, seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return a note ``(samples,)`` whose key is let go after `seconds`: it fades within `RELEASE`."""
    held, fade = round(seconds * rate), round(RELEASE * rate)
    sound = waveform[: held + fade].copy()
    fading = sound[held:]
    fading *= np.linspace(1, 0, fade)[: len(fading)] ** 2
    return sound


def write_samples(
    model: Model, weights: Path, folder: Path, kind: str, rate: int = SAMPLE_RATE, suffix: str = "flac"
) -> list[tuple[Label, np.ndarray]]:
    """Write every note that a model was trained on to ``samples/``, with ``notes.csv`` and the model's card.

    All notes have one gain, so that none exceeds full scale. Returns labels and waveforms ``(samples,)`` at `rate`.
    `kind` is the format of the export, for `target.claim`, whose errors it raises. ValueError for another `rate` or
    `suffix` than those of `RATES` and `FORMATS`, for a model without a card, or if a note is not finite; OSError if a
    file cannot be written.
    """
    check_choice("rate", rate, RATES)
    check_choice("audio format", suffix, FORMATS)
    card, heard = card_of(weights), graded_notes(weights).set_index(["role", "pitch", "velocity"])
    labels = [label for role in model.roles for label in trained_notes(model, role)]
    waveforms = generate_all(model, labels)
    if not np.isfinite(waveforms).all():
        raise ValueError(f"{weights} plays notes that are not finite: nothing is written")
    waveforms /= max(1.0, 1.05 * np.abs(waveforms).max())  # resampled, a peak may rise
    claim(folder, weights, model, format=kind, rate=rate, audio=suffix)
    rows = pd.DataFrame(labels).assign(file=[f"samples/{label}.{suffix}" for label in labels])
    rows = rows.join(heard[["grade", "pitch_heard"]], on=["role", "pitch", "velocity"])
    sounds = []
    for file, waveform in zip(rows.file, waveforms, strict=True):
        sounds.append(waveform if rate == SAMPLE_RATE else soxr.resample(waveform, SAMPLE_RATE, rate))
        with replacing(folder / file) as beside:
            beside.write_bytes(encode(sounds[-1], suffix, rate))
    with replacing(folder / "notes.csv") as beside:
        rows.to_csv(beside, index=False)
    write_text(folder / "README.md", card)
    return list(zip(labels, sounds, strict=True))
