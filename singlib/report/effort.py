"""What it takes: accuracy and grade of the models whose gradient flows, against updates, notes seen and time.

Sets of instruments differ in size, so the same epochs are not the same training. Counted are the stages that
train on sound, autoencoder and fine-tuning; the time is that of all three.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from librosa import midi_to_hz
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..claims.effects import STAGES_OF_TIME
from ..grading.grades import GRADES, HEARD, SCORES
from ..grading.pitch import TRACKED
from ..grid import INSTRUMENT_SETS
from ..nsynth import selection
from ..runs.records import Records
from .curves import COLOURS, MARKERS

AXES = {"updates": "updates", "notes_seen": "notes seen", "seconds": "training time (s)"}
KIND = ["instruments", "training_loss", "activation"]


def models(records: Records) -> pd.DataFrame:
    """Return a row for each finished model whose gradient flows.

    Returns
    -------
    DataFrame
        Columns of `singlib.runs.records.describe`, ``updates`` and ``notes_seen`` of autoencoder and fine-tuning,
        ``seconds`` of all stages, ``accuracy`` (share of the generated notes in the pitch tracker's range that are
        heard at their label) and ``score`` (mean grade, 0 to 5).
    """
    about = records.about
    if not len(about):
        return about
    about = about[(about.gradient == "flow") & (about.elu_alpha == 1)]
    history = records.history[records.history.stage != "lstm"]
    last = history.groupby(["cell", "stage"])[["updates", "epoch"]].max().groupby("cell").sum()
    counts = selection.counts(records.profile.data)
    notes = {name: sum(counts[role] for role in roles) for name, roles in INSTRUMENT_SETS.items()}
    quality = records.quality
    quality = quality.assign(score=quality.grade.map(SCORES), accuracy=100.0 * (quality.pitch_heard >= HEARD))
    tracked = quality.pitch.map(midi_to_hz).between(*TRACKED)
    means = pd.concat([quality.groupby("cell").score.mean(), quality[tracked].groupby("cell").accuracy.mean()], axis=1)
    joined = about.merge(last, on="cell").merge(means, on="cell")
    return joined.assign(
        notes_seen=joined.epoch * joined.instruments.map(notes), seconds=joined[list(STAGES_OF_TIME)].sum(axis=1)
    )


def draw(records: Records) -> Figure:
    """Draw accuracy (above) and grade (below) of each kind of model; bars are the range over its models."""
    drawn, axes = plt.subplots(2, 3, figsize=(12, 7), sharex="col", sharey="row", layout="constrained")
    frame = models(records)
    groups = frame.groupby(KIND, sort=False) if len(frame) else ()
    for (instruments, loss, activation), rows in groups:
        look = {"color": COLOURS[f"{loss}/{activation}"], "marker": MARKERS[loss]}
        look["mfc"] = look["color"] if activation == "ReLU" else "white"
        for below, measure in enumerate(("accuracy", "score")):
            mean = rows[measure].mean()
            reach = np.array([[mean - rows[measure].min()], [rows[measure].max() - mean]])
            for side, axis in zip(axes[below], AXES, strict=True):
                side.errorbar(rows[axis].mean(), mean, reach, ls="", lw=0.8, label=f"{loss}/{activation}", **look)
                if axis == "seconds" and (loss, activation) == ("STFT", "ReLU"):
                    side.annotate(instruments, (rows[axis].mean(), mean), (4, 4), textcoords="offset points", size=7)
    for side, (axis, label) in zip(axes[1], AXES.items(), strict=True):
        side.set_xlabel(label if axis == "seconds" else f"{label} (autoencoder, fine-tuning)")
        side.set_xscale("log")
        side.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.xaxis.set_major_formatter("{x:,.0f}")
        side.xaxis.set_minor_locator(NullLocator())
    if len(frame):
        for side, axis in zip(axes[0, :2], AXES, strict=False):  # a set's models have the same updates and notes seen
            places = frame.groupby("instruments")[axis].mean()
            above = side.secondary_xaxis("top")
            above.set_xticks(places, places.index, rotation=90, size=7)
            above.set_xticks([], minor=True)
    axes[0, 0].set(ylabel="notes at their pitch, in the tracker's range (%)", ylim=(-4, 104))
    axes[1, 0].set(ylabel="mean grade", ylim=(-0.2, len(GRADES) - 0.8))
    axes[1, 0].set_yticks(range(len(GRADES)), GRADES)
    for side in axes.flat:
        side.grid(color="0.9")
        sns.despine(ax=side)
    handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1], strict=True))
    if handles:
        drawn.legend(handles.values(), handles, loc="outside right center", fontsize=8)
    return drawn


def told(records: Records) -> str:
    """Say how accuracy and grade go with the notes seen: Spearman's rank correlation over the kinds of models."""
    frame = models(records)
    if not len(frame):
        return records.nothing()
    means = frame.groupby(KIND)[["notes_seen", "accuracy", "score"]].mean()
    ranks = means.rank().corr().notes_seen
    best = means.accuracy.idxmax()
    return (
        f"Over {len(means)} kinds of models (mean over seeds) the rank correlation with the notes seen is "
        f"{ranks.accuracy:.2f} for the accuracy and {ranks.score:.2f} for the grade. Most notes at their pitch: "
        f"{' '.join(best)}, {means.accuracy.max():.0f} %."
    )
