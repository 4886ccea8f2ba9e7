"""What velocity does to a note: its level, and its brightness."""

from __future__ import annotations

import librosa
import numpy as np
import pandas as pd

from . import selection
from .audio import SAMPLE_RATE
from .notes import VELOCITIES, load_notes


def level_and_brightness(data: str) -> pd.DataFrame:
    """Measure level and brightness of every note, in its first second.

    Returns
    -------
    DataFrame
        ``role``, ``pitch``, ``velocity``; ``level``, the power in dB below full scale; ``brightness``, the
        spectral centroid (McAdams et al., 1995) in octaves above 1 Hz; and both less the mean of the same
        pitch's notes, ``level change`` and ``brightness change``. Only pitches that have several velocities.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder is not there, or holds no note of the paper's roles.
    """
    notes = load_notes(data, tuple(dict.fromkeys(label.role for label in selection.labels(data))))
    rows = []
    for label, waveform in zip(notes.labels(), notes.waveforms, strict=True):
        first = np.asarray(waveform[:SAMPLE_RATE])
        centroid = librosa.feature.spectral_centroid(y=first, sr=SAMPLE_RATE, n_fft=1024, hop_length=256).mean()
        rows.append((*label, 10 * np.log10(np.mean(first**2)), np.log2(centroid)))
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
