"""Loss over epoch: how Figures 1-15 are drawn, and what is seen in them.

Colour and dashes stand for training loss and activation in every figure; thin lines are models, the bold
line with markers is their mean, the band its 95 % interval over models.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..grading.grades import mean_interval
from ..grid import Cell
from ..runs.records import Records

# Okabe and Ito's colours, told apart by the colour-blind; the dashes and markers tell them apart in grey.
COLOURS = {
    "STFT/ReLU": "#0072B2",
    "STFT/ELU": "#E69F00",
    "MFC/ReLU": "#009E73",
    "MFC/ELU": "#CC79A7",
    "CQT/ReLU": "#56B4E9",
    "CQT/ELU": "#D55E00",
}
MARKERS = {"STFT": "o", "MFC": "s", "CQT": "^", "brass1": "o", "brass1-3": "s", "brass1-5": "^"}
DASHES = {"ReLU": "", "ELU": (4, 2)}
WIDTHS = {"MFC": 3.5, "STFT": 2, "CQT": 1.2}  # points; the flat lines of MFC and CQT lie upon each other
PANELS = {"published": "as published (MFC, CQT: gradient cut)", "corrected": "corrected (gradient flows)"}
SPECTRUM_LABEL = {
    "STFT": "STFT loss: mean |Δ log(1 + |STFT|²)|",
    "MFC": "MFC loss: mean |Δ log(1 + MFC²)|",
    "CQT": "CQT loss: mean |Δ log(1 + |CQT|²)|",
}
MARKED = 26  # epochs with a marker, at the most: more run into a bead chain
CROWDED = 4  # a largest loss so many times the smallest asks for a logarithmic axis
HARDLY = 0.005  # relative change of a loss that would read as 0 %
CONSTANT = 1e-5  # relative change of a loss that nothing trains: rounding of a mean taken in another order


@dataclass(frozen=True)
class Curves:
    """A figure of loss curves: what is plotted, of which models."""

    caption: str
    stage: str
    spectrum: str
    instruments: tuple[str, ...] = ("keys",)
    losses: tuple[str, ...] = ("STFT",)
    activations: tuple[str, ...] = ("ReLU", "ELU")

    def shows(self, cell: Cell) -> bool:
        """Whether a model is drawn in this figure."""
        return (
            cell.instruments in self.instruments
            and cell.loss in self.losses
            and cell.activation in self.activations
            and cell.elu_alpha == 1
        )

    @property
    def panels(self) -> tuple[str, ...]:
        """Two panels where a loss exists with its gradient cut and flowing."""
        return ("published",) if self.losses == ("STFT",) else ("published", "corrected")


def curves(frame: pd.DataFrame, axes: plt.Axes, mark: str = "training_loss") -> dict[str, int]:
    """Draw loss over epoch: a thin line a model, a bold one with markers for the mean of each kind.

    Parameters
    ----------
    frame : DataFrame
        Rows of `Records.history` of one stage and spectrum.
    axes : Axes
        Where.
    mark : str
        The column that the markers stand for.

    Returns
    -------
    dict
        Label of each kind -> how many models it has.
    """
    counts = {}
    for (loss, activation, instruments), group in frame.groupby(["training_loss", "activation", "instruments"]):
        models = group.cell.nunique()
        style = {"color": COLOURS[f"{loss}/{activation}"], "zorder": 2 + 1 / WIDTHS[loss]}
        if DASHES[activation]:
            style["dashes"] = DASHES[activation]
        if models > 1:
            sns.lineplot(group, x="epoch", y="loss", units="cell", estimator=None, ax=axes, lw=0.5, alpha=0.5, **style)
        name = f"{loss}/{activation}" if mark == "training_loss" else f"{instruments} {activation}"
        counts[name] = models
        sns.lineplot(
            group,
            x="epoch",
            y="loss",
            errorbar=mean_interval if models > 1 else None,
            err_kws={"alpha": 0.2, "lw": 0},
            ax=axes,
            lw=WIDTHS[loss],
            marker=MARKERS[group[mark].iloc[0]],
            markersize=5,
            label=name,
            **style,
        )
        axes.lines[-1].set_markevery(1 + group.epoch.nunique() // MARKED)
    axes.set_xlabel("epoch (0: before training)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return counts


def rows_of(figure: Curves, records: Records) -> pd.DataFrame:
    """Return the rows of `Records.history` that a figure shows."""
    frame = records.history
    if not len(frame):
        return frame
    return frame[
        (frame.stage == figure.stage)
        & (frame.spectrum == figure.spectrum)
        & frame.instruments.isin(figure.instruments)
        & frame.training_loss.isin(figure.losses)
        & frame.activation.isin(figure.activations)
        & (frame.elu_alpha == 1)
    ]


def in_panel(frame: pd.DataFrame, panel: str) -> pd.DataFrame:
    """Return the rows of the models of a panel, a key of `PANELS`."""
    if not len(frame):
        return frame
    return frame[frame.published if panel == "published" else frame.gradient == "flow"]


def draw_curves(figure: Curves, records: Records) -> Figure:
    """Draw a figure of curves, a panel for each way the gradient goes; panels without a model say so."""
    drawn, all_axes = plt.subplots(
        1,
        len(figure.panels),
        figsize=(6.4 * len(figure.panels), 4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    frame = rows_of(figure, records)
    crowded = len(frame) and frame.loss.max() > CROWDED * frame.loss.min()
    handles, counts = {}, {}
    for axes, panel in zip(all_axes[0], figure.panels, strict=True):
        rows = in_panel(frame, panel)
        if len(rows):
            counts[panel] = curves(rows, axes, "instruments" if len(figure.instruments) > 1 else "training_loss")
            handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
            axes.get_legend().remove()
        else:
            axes.text(0.5, 0.5, "no finished model", transform=axes.transAxes, ha="center")
        axes.set_ylabel(SPECTRUM_LABEL[figure.spectrum])
        if len(figure.panels) > 1:
            axes.set_title(PANELS[panel], fontsize=10)
        if crowded:
            axes.set_yscale("log")  # after drawing: seaborn would average logarithms
            axes.yaxis.set_minor_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.yaxis.set_minor_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
        sns.despine(ax=axes)
    if handles:
        labels = [_label(name, [kinds[name] for kinds in counts.values() if name in kinds]) for name in handles]
        drawn.legend(handles.values(), labels, loc="outside right center", fontsize=8)
    return drawn


def _label(name: str, models: list[int]) -> str:
    """Say of how many models a mean is; of the published and the corrected ones, where these differ."""
    if set(models) == {1}:
        return name
    return f"{name}, mean of {models[0]}" + (f", corrected {models[1]}" if len(set(models)) > 1 else "") + " (95 %)"


def seen(figure: Curves, records: Records) -> str:
    """Say in a sentence how each kind's mean loss changes from the first epoch to the last, and which ends lowest."""
    frame = rows_of(figure, records)
    parts = []
    for panel in figure.panels:
        rows = in_panel(frame, panel)
        if not len(rows):
            continue
        keys = ["instruments"] if len(figure.instruments) > 1 else ["training_loss"]
        means = rows.groupby([*keys, "activation", "epoch"], sort=False).loss.mean()
        ends = means.groupby(level=[0, 1], sort=False).agg(["first", "last"])
        told, still = [], []
        for kind, (first, last) in zip(ends.index, ends.to_numpy(), strict=True):
            name, change = (" " if keys == ["instruments"] else "/").join(kind), (last - first) / first
            if abs(change) < CONSTANT:
                still.append(name)
            elif abs(change) < HARDLY:
                told.append(f"{name} hardly changes")
            else:
                told.append(f"{name} {'falls' if change < 0 else 'rises'} by {abs(change):.0%} to {last:.3g}")
        if still:
            told.append(f"{', '.join(still)} {'stays' if len(still) == 1 else 'stay'} constant")
        lead = {"published": "As published, ", "corrected": "Corrected, "}[panel] if len(figure.panels) > 1 else ""
        lowest = (" " if keys == ["instruments"] else "/").join(ends["last"].idxmin())
        parts.append(lead + ", ".join(told) + (f"; {lowest} ends lowest" if len(ends) > 1 else ""))
    if not parts:
        return ""
    text = ". ".join(parts) + "."
    return text[0].upper() + text[1:]
