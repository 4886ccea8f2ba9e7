"""Views of one finished run for a notebook: losses, curves, sounds, measures."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import soundfile
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import nsynth
from ..nsynth import Label, selection
from ..runs.run_folder import Run
from .curves import COLOURS


def first_and_last(run: Run) -> pd.DataFrame:
    """Return the loss of each stage before its first and after its last epoch, to two digits."""
    history = pd.read_csv(run.history_file)
    ends = history.groupby(["stage", "spectrum", "role"], sort=False).loss.agg(["first", "last"])
    return ends.map(lambda value: float(f"{value:.2g}"))


def stages(run: Run) -> Figure:
    """Draw all losses of one run, stage by stage; the training loss is bold."""
    history = pd.read_csv(run.history_file)
    spectra = ["STFT", "MFC", "CQT"]
    names = history.stage.unique()
    drawn, axes = plt.subplots(len(spectra), len(names), figsize=(10, 6.5), sharex="col", layout="constrained")
    for row, spectrum in enumerate(spectra):
        for side, stage in zip(axes[row], names, strict=True):
            rows = history[(history.stage == stage) & (history.spectrum == spectrum)]
            trained = rows.role.iloc[0] == "train"
            sns.lineplot(
                rows,
                x="epoch",
                y="loss",
                ax=side,
                color=COLOURS[f"{spectrum}/ReLU"],
                lw=2.5 if trained else 1,
                marker="o",
            )
            side.set(title=stage if row == 0 else "", xlabel="epoch (0: before training)")
            side.xaxis.set_major_locator(MaxNLocator(integer=True))
            side.set_ylabel(f"{spectrum} {'training' if trained else 'side'} loss", fontsize=9)
            sns.despine(ax=side)
    plt.close(drawn)  # else the notebook would show it twice
    return drawn


def examples(run: Run) -> list[Label]:
    """Choose one generated note of each instrument: that of Figures 16-22, else a middle one."""
    chosen = []
    for role in run.cell.roles:
        labels = selection.notes_to_generate(run.profile.data, role)
        shown = selection.FIGURE_NOTES.get(role)
        chosen.append(selection.nearest(run.profile.data, role, *shown) if shown else labels[len(labels) // 2])
    return chosen


def sounds(run: Run) -> dict[str, np.ndarray]:
    """Return the note itself and the generated one of each example, by name."""
    found = {}
    for label in examples(run):
        found[f"{label}: the note itself"] = nsynth.read_waveform(nsynth.index(run.profile.data)[label])
        found[f"{label}: generated"] = soundfile.read(run.generated_file(label))[0]
    return found


def quality(run: Run) -> pd.DataFrame:
    """Return the measures and the grade of every generated note."""
    return pd.read_csv(run.folder / "quality.csv").round(2)
