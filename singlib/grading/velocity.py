"""What velocity does to notes, to NSynth's and to generated ones: their level and their brightness."""

import librosa
import numpy as np
import pandas as pd

from ..nsynth import SAMPLE_RATE, VELOCITIES, load_notes, selection


def level_and_brightness(data: str) -> pd.DataFrame:
    """Measure level and brightness of every note in its first second; errors are those of `selection.labels`.

    Columns: ``role``, ``pitch``, ``velocity``; ``level``, the power in dB below full scale; ``brightness``, the
    spectral centroid (McAdams et al., 1995) in octaves above 1 Hz; and both less the mean of the same pitch's notes,
    ``level change`` and ``brightness change``. Only pitches that have several velocities.
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


def velocity_heard(notes: pd.DataFrame) -> pd.DataFrame:
    """Tell whether velocities can be told apart, by the spectrum: loudness is no cue in NSynth.

    Takes rows of quality.csv, of one model or of several. Returns a row for each role: how much brighter (octaves) its
    notes get from velocity 25 to 127, by least squares beside a cubic in pitch: ``generated`` with its 95 % interval
    ``lowest`` to ``highest`` (Student's t), ``target``, and ``heard``, whether the interval lies above 0.
    """
    import scipy.stats  # a second, which a cell of the grid does not need

    rows = {}
    sounding = notes[notes.brightness > 0]  # silence has none
    for role, part in sounding.groupby("role", sort=False):
        if part.velocity.nunique() < 2 or len(part) < 8:
            continue  # too few for five coefficients
        pitch = (part.pitch.to_numpy() - part.pitch.mean()) / 24
        steps = (part.velocity.to_numpy() - 25) / 102
        design = np.column_stack([steps, *(pitch**power for power in range(4))])
        ours, *_ = np.linalg.lstsq(design, part.brightness, rcond=None)
        theirs, *_ = np.linalg.lstsq(design, part.target_brightness, rcond=None)
        freedom = len(part) - design.shape[1]
        residual = np.sum((part.brightness - design @ ours) ** 2) / freedom
        error = np.sqrt(residual * np.linalg.pinv(design.T @ design)[0, 0])
        reach = scipy.stats.t.ppf(0.975, freedom) * error
        rows[role] = {
            "generated": ours[0],
            "lowest": ours[0] - reach,
            "highest": ours[0] + reach,
            "target": theirs[0],
            "heard": bool(ours[0] > reach),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
