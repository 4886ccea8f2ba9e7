"""What velocity does to notes, to NSynth's and to generated ones: their level and their brightness."""

import numpy as np
import pandas as pd

from ..nsynth import SAMPLE_RATE, VELOCITIES, load_notes, selection
from .measures import brightness


def level_and_brightness(data: str) -> pd.DataFrame:
    """Measure level and brightness of every note; errors are those of `selection.labels`.

    Columns: ``role``, ``pitch``, ``velocity``; ``level``, the power of the first second in dB re full scale;
    ``brightness``, in octaves above 1 Hz, as `singlib.grading.measures.brightness` has it; and both less the mean of
    the same pitch's notes, ``level change`` and ``brightness change``. Only pitches that have several velocities.
    """
    notes = load_notes(data, tuple(dict.fromkeys(label.role for label in selection.labels(data))))
    rows = []
    for label, waveform in zip(notes.labels(), notes.waveforms, strict=True):
        level = 10 * np.log10(np.mean(np.square(waveform[:SAMPLE_RATE])))
        rows.append((*label, level, brightness(np.asarray(waveform))))
    frame = pd.DataFrame(rows, columns=["role", "pitch", "velocity", "level", "brightness"])
    frame = frame[frame.groupby(["role", "pitch"]).velocity.transform("nunique") > 1]
    means = frame.groupby(["role", "pitch"])[["level", "brightness"]].transform("mean")
    return frame.join((frame[["level", "brightness"]] - means).add_suffix(" change"))


def effect_of_velocity(measured: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the least-squares change from velocity 25 to 127 at one pitch, from `level_and_brightness`."""
    rows, columns = {}, ["level (dB)", "brightness (octaves)"]
    for role, notes in measured.groupby("role", sort=False):
        centred = notes.velocity - notes.groupby("pitch").velocity.transform("mean")
        reach = (VELOCITIES[-1] - VELOCITIES[0]) * centred / (centred**2).sum()
        rows[role] = [reach @ notes[name] for name in ("level change", "brightness change")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1) + 0.0  # no -0.0


def rise_in_brightness(notes: pd.DataFrame) -> float:
    """Return how much brighter notes get from the lowest velocity to the highest, in octaves; NaN with too few notes.

    By least squares beside a cubic in pitch, from ``pitch``, ``velocity`` and ``brightness`` of an instrument's notes,
    rows of quality.csv. Loudness would be no cue: NSynth's notes are all about as loud.
    """
    notes = notes[notes.brightness > 0]  # silence has none
    if notes.velocity.nunique() < 2 or len(notes) < 8:
        return np.nan  # too few for five coefficients
    pitch = (notes.pitch.to_numpy() - notes.pitch.mean()) / 24
    steps = notes.velocity.to_numpy() / (VELOCITIES[-1] - VELOCITIES[0])
    design = np.column_stack([steps, *(pitch**power for power in range(4))])
    return float(np.linalg.lstsq(design, notes.brightness)[0][0])
