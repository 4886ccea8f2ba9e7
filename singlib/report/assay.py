"""Can the grade be trusted? The controls of real notes, measured, graded and shown: the content of 05-grades.ipynb."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from .. import nsynth
from ..grading import grades
from ..grading.controls import controls
from ..grading.grades import GRADES
from ..listening.spectrograms import spectrogram
from ..nsynth import SAMPLE_RATE, SAMPLES, TABLE2, Label, read_waveform

# What is drawn of the measures, and the thresholds that stand in it.
SHOWN = {
    "modulation": ("modulation (relative to the target's)", (grades.STATIC,)),
    "pitch_heard": ("share of loudness at the label's pitch", (grades.HEARD,)),
    "noise": ("noise between the partials (dB)", (grades.NOISE, grades.CLEAN)),
    "distance": ("distance to the target", (grades.LIKE,)),
}
COLUMNS = 6  # of pictures


def spread(data: str, each: int = 1) -> list[Label]:
    """Choose notes of each instrument, evenly over pitch, from the half that no threshold was fixed on."""
    chosen = []
    for role in TABLE2:
        labels = [label for label in reported(data) if label.role == role]
        chosen += [labels[int((place + 0.5) * len(labels) / each)] for place in range(min(each, len(labels)))]
    return chosen


def reported(data: str) -> list[Label]:
    """List every other note: thresholds were fixed on the first, third, ... of them, and are reported on these."""
    return list(nsynth.index(data))[1::2]


def assay(data: str, labels: list[Label]) -> pd.DataFrame:
    """Measure and grade every control of some notes.

    Returns
    -------
    DataFrame
        A row for each note and control: ``role``, ``pitch``, ``velocity``, ``control``, the measures, ``grade``.
    """
    rows = []
    # A few notes take seconds, and their bar would stay in the notebook, at 0 %.
    for label in tqdm(labels, desc="notes", mininterval=5, disable=len(labels) <= len(TABLE2)):
        target = read_waveform(nsynth.index(data)[label])
        for name, waveform in controls(data, label).items():
            rows.append(label._asdict() | {"control": name} | grades.grade(waveform, target, label.pitch))
    return pd.DataFrame(rows)


def grades(assayed: pd.DataFrame) -> pd.DataFrame:
    """Count the notes of each control by grade, from `assay`."""
    table = pd.crosstab(assayed.control, assayed.grade)
    return table.reindex(index=assayed.control.unique(), columns=list(GRADES), fill_value=0)


def measures(assayed: pd.DataFrame) -> pd.DataFrame:
    """Tabulate measures and grade of every control of one note, from `assay`."""
    table = assayed.set_index("control").drop(columns=["role", "pitch", "velocity"])
    table["brighter"] = (table.brightness - table.target_brightness).where(table.brightness > 0, 0)
    shown = ["pitch_heard", "chroma_heard", "modulation", "follows", "onset", "decay", "release", "noise", "brighter"]
    return table[shown].round(1).join(table.distance.round(3)).join(table.grade)


def pictures(data: str, label: Label) -> Figure:
    """Draw the spectrogram of every control of a note."""
    made = controls(data, label)
    target = made["the note itself"]
    rows = -(-len(made) // COLUMNS)
    size = {"figsize": (14, 2.5 * rows), "squeeze": False, "layout": "constrained"}
    drawn, axes = plt.subplots(rows, COLUMNS, sharex=True, sharey=True, **size)
    for side in axes.flat[len(made) :]:
        side.axis("off")
    loudest = spectrogram(target).max()
    extent = (0, SAMPLES / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    for side, (name, waveform) in zip(axes.flat, made.items(), strict=False):
        level = 10 * np.log10(spectrogram(waveform) / loudest + 1e-12)
        image = side.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0, cmap="magma")
        side.set_title(f"{name}:  {grades.grade(waveform, target, label.pitch)['grade']}", fontsize=9, loc="left")
    for side in axes[-1]:
        side.set_xlabel("time (s)")
    for side in axes[:, 0]:
        side.set_ylabel("kHz")
    drawn.colorbar(image, ax=axes, label="power (dB below the note's peak)", aspect=50)
    plt.close(drawn)
    return drawn


def thresholds(assayed: pd.DataFrame) -> Figure:
    """Draw where the controls of all notes lie in four measures, from `assay`, and where the thresholds stand."""
    drawn, axes = plt.subplots(1, len(SHOWN), figsize=(14, 5), sharey=True, layout="constrained")
    heard = assayed[assayed.control != "silence"]  # which has no measures
    for side, (name, (label, lines)) in zip(axes, SHOWN.items(), strict=True):
        sns.stripplot(
            heard, x=name, y="control", ax=side, size=3, alpha=0.6, jitter=0.25, color="#0072B2", legend=False
        )
        for line in lines:
            side.axvline(line, color="#D55E00", lw=1.2, ls="--")
        side.set(xlabel=label, ylabel="")
        sns.despine(ax=side)
    axes[-1].set_xscale("symlog", linthresh=0.001)
    axes[-1].set_xlim(left=-0.0003)
    plt.close(drawn)
    return drawn
