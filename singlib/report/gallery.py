"""Pictures, sounds and measures of a data set: the content of 01-data.ipynb."""

from __future__ import annotations

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .. import nsynth
from ..listening.spectrograms import spectrogram
from ..nsynth import SAMPLE_RATE, SAMPLES, TABLE2, VELOCITIES, Label, selection

BLACK = (1, 3, 6, 8, 10)  # semitones above C
LOWEST, HIGHEST = 21, 108  # of a piano


def keyboard(data: str) -> Figure:
    """Draw every note of the eight instruments over a piano's keyboard; the paper's ranges are grey bars."""
    drawn, axes = plt.subplots(figsize=(12, 5), layout="constrained")
    labels = list(nsynth.index(data))
    shades = sns.color_palette("viridis", len(VELOCITIES))
    for row, (role, paper) in enumerate(TABLE2.items()):
        axes.barh(row, paper.highest - paper.lowest + 1, 0.9, paper.lowest - 0.5, color="0.92", zorder=0)
        for level, (velocity, shade) in enumerate(zip(VELOCITIES, shades, strict=True)):
            pitches = [label.pitch for label in labels if label.role == role and label.velocity == velocity]
            height = np.full(len(pitches), row + 0.16 * (2 - level))  # the loudest on top
            axes.scatter(pitches, height, 7, color=shade, label=f"velocity {velocity}" if row == 0 else None)
    bottom = len(TABLE2) + 0.9
    for pitch in range(LOWEST, HIGHEST + 1):
        black = pitch % 12 in BLACK
        axes.bar(
            pitch, 0.7 if black else 1.1, 1, bottom - 1.1, color="0.15" if black else "white", edgecolor="0.5", lw=0.5
        )
    axes.set(xlim=(LOWEST - 1, HIGHEST + 1), ylim=(bottom + 0.1, -0.7), xlabel="MIDI pitch")
    axes.set_xticks(
        range(24, HIGHEST + 1, 12), [f"{pitch}\nC{pitch // 12 - 1}" for pitch in range(24, HIGHEST + 1, 12)]
    )
    axes.set_yticks(range(len(TABLE2)), [f"{role}\n{name}" for role, name in nsynth.ROLES[data].items()], fontsize=8)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.09), ncols=len(VELOCITIES), frameon=False)
    sns.despine(ax=axes)
    plt.close(drawn)
    return drawn


def examples(data: str) -> list[Label]:
    """Choose a note of each instrument at hand: that of Figures 16-22, or the middle of its range at velocity 100."""
    middles = {role: (TABLE2[role].lowest + TABLE2[role].highest) // 2 for role in _roles(data)}
    return [
        selection.nearest(data, role, *selection.FIGURE_NOTES.get(role, (middle, 100)))
        for role, middle in middles.items()
    ]


def _roles(data: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.role for label in selection.labels(data)))


def waveforms(data: str) -> Figure:
    """Draw waveform and spectrogram of a note of each instrument."""
    labels = examples(data)
    size = {"figsize": (11, 1.5 * len(labels)), "layout": "constrained"}
    drawn, axes = plt.subplots(len(labels), 2, sharex=True, squeeze=False, **size)
    seconds = SAMPLES / SAMPLE_RATE
    for (left, right), label in zip(axes, labels, strict=True):
        waveform = nsynth.read_waveform(nsynth.index(data)[label])
        left.plot(np.arange(SAMPLES) / SAMPLE_RATE, waveform, lw=0.3, color="#0072B2")
        left.set(ylim=(-1, 1), ylabel="amplitude")
        left.set_title(f"{label.role}: MIDI {label.pitch}, velocity {label.velocity}", fontsize=9, loc="left")
        power = spectrogram(waveform)
        level = 10 * np.log10(power / power.max() + 1e-12)
        extent = (0, seconds, 0, SAMPLE_RATE / 2000)
        image = right.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0, cmap="magma")
        right.set_ylabel("kHz")
    for side in axes[-1]:
        side.set_xlabel("time (s)")
    drawn.colorbar(image, ax=axes[:, 1], label="power (dB below the note's peak)", aspect=60)
    plt.close(drawn)
    return drawn


def sounds(data: str) -> dict[str, np.ndarray]:
    """Return a note of each instrument, by label and name."""
    return {
        f"{label} ({nsynth.ROLES[data][label.role]})": nsynth.read_waveform(nsynth.index(data)[label])
        for label in examples(data)
    }


def measures(data: str) -> pd.DataFrame:
    """Measure level and brightness of every note, in its first second.

    Returns
    -------
    DataFrame
        ``role``, ``pitch``, ``velocity``; ``level``, the power in dB below full scale; ``brightness``, the
        spectral centroid (McAdams et al., 1995) in octaves above 1 Hz; and both less the mean of the same
        pitch's notes, ``level change`` and ``brightness change``. Only pitches that have several velocities.
    """
    notes = nsynth.load_notes(data, _roles(data))
    rows = []
    for label, waveform in zip(notes.labels(), notes.waveforms, strict=True):
        first = np.asarray(waveform[:SAMPLE_RATE])
        centroid = librosa.feature.spectral_centroid(y=first, sr=SAMPLE_RATE, n_fft=1024, hop_length=256).mean()
        rows.append((*label, 10 * np.log10(np.mean(first**2)), np.log2(centroid)))
    frame = pd.DataFrame(rows, columns=["role", "pitch", "velocity", "level", "brightness"])
    frame = frame[frame.groupby(["role", "pitch"]).velocity.transform("nunique") > 1]
    for name in ("level", "brightness"):
        mean = frame.groupby(["role", "pitch"])[name].transform("mean")
        frame = frame.assign(**{f"{name} change": frame[name] - mean})
    return frame


def velocity(frame: pd.DataFrame) -> Figure:
    """Draw what velocity does to level and brightness, from `measures`: a thin line a pitch, and the mean."""
    roles = frame.role.unique()
    if not len(roles):
        drawn, axes = plt.subplots(figsize=(13, 1))
        axes.text(0.5, 0.5, "No pitch has notes of several velocities.", ha="center", va="center")
        axes.axis("off")
        plt.close(drawn)
        return drawn
    size = {"figsize": (13, 5), "layout": "constrained", "squeeze": False}
    drawn, axes = plt.subplots(2, len(roles), sharex=True, sharey="row", **size)
    for column, role in zip(axes.T, roles, strict=True):
        rows = frame[frame.role == role]
        for side, name in zip(column, ("level change", "brightness change"), strict=True):
            style = {"data": rows, "x": "velocity", "y": name, "ax": side, "legend": False}
            sns.lineplot(**style, units="pitch", estimator=None, lw=0.4, color="0.6")
            sns.lineplot(**style, errorbar=None, lw=2, color="#D55E00", marker="o", markersize=4)
            sns.despine(ax=side)
        column[0].set_title(f"{role}, {rows.pitch.nunique()} pitches", fontsize=9)
        column[1].set_xticks([25, 75, 127])
    axes[0, 0].set_ylabel("level (dB)\nless the pitch's mean")
    axes[1, 0].set_ylabel("brightness (octaves)\nless the pitch's mean")
    plt.close(drawn)
    return drawn


def follows(frame: pd.DataFrame) -> pd.DataFrame:
    """Tabulate what velocity does, from `measures`: the least-squares change from velocity 25 to 127 at one pitch."""
    rows, columns = {}, ["level (dB)", "brightness (octaves)"]
    for role, notes in frame.groupby("role", sort=False):
        centred = notes.velocity - notes.groupby("pitch").velocity.transform("mean")
        reach = (VELOCITIES[-1] - VELOCITIES[0]) * centred / (centred**2).sum()
        rows[role] = [reach @ notes[name] for name in ("level change", "brightness change")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1) + 0.0  # no -0.0
