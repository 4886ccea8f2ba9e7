"""Figures of loss over epoch, Figures 1-15 of the paper: how they are drawn, and what they show in words.

Colour and dashes stand for training loss and activation in every figure; thin lines are models, the bold line with
markers is their mean, the band its 95 % interval over models.
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
TITLES = {"published": "as published (MFC, CQT: gradient cut)", "corrected": "corrected (gradient flows)"}
SPECTRUM_LABEL = {
    "STFT": "STFT loss: mean |Δ log(1 + |STFT|²)|",
    "MFC": "MFC loss: mean |Δ log(1 + MFC²)|",
    "CQT": "CQT loss: mean |Δ log(1 + |CQT|²)|",
}
MARKED = 26  # epochs with a marker, at the most: more run into a chain of beads
WIDE = 4  # the axis is logarithmic if the largest loss is so many times the smallest
HARDLY = 0.005  # a smaller relative change of a loss would read as 0 %
CONSTANT = 1e-5  # a smaller relative change is the rounding of a mean taken in another order: nothing trains


@dataclass(frozen=True)
class Curves:
    """A figure of loss curves: the paper's title, what is plotted, of which models."""

    title: str
    stage: str
    spectrum: str
    instruments: tuple[str, ...] = ("keys",)
    losses: tuple[str, ...] = ("STFT",)
    activations: tuple[str, ...] = ("ReLU", "ELU")

    def shows(self, cell: Cell) -> bool:
        """Return whether a model is drawn in this figure."""
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

    @property
    def column(self) -> str:
        """The column that tells the kinds of models apart, beside the activation."""
        return "instruments" if len(self.instruments) > 1 else "training_loss"

    def select(self, records: Records) -> pd.DataFrame:
        """Return the rows of `Records.history` that the figure shows."""
        frame = records.history
        if frame.empty:
            return frame
        shown = [cell.name for cell in records.grid if self.shows(cell)]
        return frame[(frame.stage == self.stage) & (frame.spectrum == self.spectrum) & frame.cell.isin(shown)]

    def select_panels(self, records: Records) -> dict[str, pd.DataFrame]:
        """Return the rows of each panel."""
        frame = self.select(records)
        if frame.empty:
            return dict.fromkeys(self.panels, frame)
        rows = {"published": frame[frame.published], "corrected": frame[frame.gradient == "flow"]}
        return {panel: rows[panel] for panel in self.panels}

    def draw(self, records: Records) -> Figure:
        """Draw the curves, a panel for each way the gradient goes; panels without a model say so."""
        size = (6.4 * len(self.panels), 4)
        shared = {"sharex": True, "sharey": True, "squeeze": False}
        figure, all_axes = plt.subplots(1, len(self.panels), figsize=size, layout="constrained", **shared)
        losses = self.select(records).get("loss", pd.Series(dtype=float))
        handles, counts = {}, []
        for axes, (panel, rows) in zip(all_axes[0], self.select_panels(records).items(), strict=True):
            if len(rows):
                counts.append(draw_curves(rows, axes, self.column))
                handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
                axes.get_legend().remove()
            else:
                axes.text(0.5, 0.5, "no finished model", transform=axes.transAxes, ha="center")
            axes.set_ylabel(SPECTRUM_LABEL[self.spectrum])
            if len(self.panels) > 1:
                axes.set_title(TITLES[panel], fontsize=10)
            if losses.max() > WIDE * losses.min():
                axes.set_yscale("log")  # after drawing: seaborn would average logarithms
                axes.yaxis.set_minor_locator(LogLocator(subs=(1, 2, 3, 5)))
                axes.yaxis.set_minor_formatter("{x:g}")
                axes.yaxis.set_major_formatter("{x:g}")
            sns.despine(ax=axes)
        if handles:
            labels = [_label(name, [kinds[name] for kinds in counts if name in kinds]) for name in handles]
            figure.legend(handles.values(), labels, loc="outside right center", fontsize=8)
        return figure

    def caption(self, records: Records) -> str:
        """Return the paper's caption, and how many models there are here if not its ten."""
        counts = {"published": records.profile.seeds(Cell()), "corrected": records.profile.seeds(Cell(loss="CQT"))}
        if "10 identical" not in self.title or {counts[panel] for panel in self.panels} == {10}:
            return f"{self.title}."
        return f"{self.title}. Here: {' and '.join(f'{counts[panel]} {panel}' for panel in self.panels)} of each kind."

    def summary(self, records: Records) -> str:
        """Return in words how each kind's mean loss changes from the first epoch to the last, and which ends lowest."""
        parts = []
        for panel, rows in self.select_panels(records).items():
            if rows.empty:
                continue
            means = rows.groupby([self.column, "activation", "epoch"], sort=False).loss.mean()
            ends = means.groupby(level=[0, 1], sort=False).agg(["first", "last"])
            ends.index = [(" " if self.column == "instruments" else "/").join(kind) for kind in ends.index]
            changes = (ends["last"] - ends["first"]) / ends["first"]
            constant = list(ends.index[changes.abs() < CONSTANT])
            phrases = [
                f"{name} hardly changes"
                if abs(change) < HARDLY
                else f"{name} {'falls' if change < 0 else 'rises'} by {abs(change):.0%} to {ends['last'][name]:.3g}"
                for name, change in changes.drop(constant).items()
            ]
            if constant:
                phrases.append(f"{', '.join(constant)} {'stays' if len(constant) == 1 else 'stay'} constant")
            lead = {"published": "As published, ", "corrected": "Corrected, "}[panel] if len(self.panels) > 1 else ""
            lowest = f"; {ends['last'].idxmin()} ends lowest" if len(ends) > 1 else ""
            text = f"{lead}{', '.join(phrases)}{lowest}."
            parts.append(text[0].upper() + text[1:])
        return " ".join(parts)

    def players(self, records: Records) -> None:
        """Return nothing to listen to."""


def draw_curves(frame: pd.DataFrame, axes: plt.Axes, column: str = "training_loss") -> dict[str, int]:
    """Draw loss over epoch: a thin line for each model, a bold one with markers for the mean of each kind.

    Parameters
    ----------
    frame : DataFrame
        Rows of `Records.history` of one stage and spectrum.
    axes : Axes
        Where.
    column : str
        What kinds are named by, beside the activation, and marked by: "training_loss" or "instruments".

    Returns
    -------
    dict
        Name of each kind -> how many models it has.
    """
    counts = {}
    for (loss, activation, instruments), group in frame.groupby(["training_loss", "activation", "instruments"]):
        models = group.cell.nunique()
        style = {"color": COLOURS[f"{loss}/{activation}"], "zorder": 2 + 1 / WIDTHS[loss]}
        if DASHES[activation]:
            style["dashes"] = DASHES[activation]
        if models > 1:
            sns.lineplot(group, x="epoch", y="loss", units="cell", estimator=None, ax=axes, lw=0.5, alpha=0.5, **style)
        name = f"{loss}/{activation}" if column == "training_loss" else f"{instruments} {activation}"
        counts[name] = models
        style |= {"lw": WIDTHS[loss], "marker": MARKERS[group[column].iloc[0]], "markersize": 5, "label": name}
        band = {"errorbar": mean_interval if models > 1 else None, "err_kws": {"alpha": 0.2, "lw": 0}}
        sns.lineplot(group, x="epoch", y="loss", ax=axes, **band, **style)
        axes.lines[-1].set_markevery(1 + group.epoch.nunique() // MARKED)
    axes.set_xlabel("epoch (0: before training)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return counts


def _label(name: str, models: list[int]) -> str:
    """Return a kind's name with the number of models its mean is of, published and corrected where they differ."""
    if set(models) == {1}:
        return name
    return f"{name}, mean of {models[0]}" + (f", corrected {models[1]}" if len(set(models)) > 1 else "") + " (95 %)"
