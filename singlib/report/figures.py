"""Figures 1-22 of the paper, from records alone: which they are, and how they are drawn, saved and shown.

Figures 1-15 are loss curves (`Curves`), Figures 16-22 spectrograms (`singlib.listening.spectrograms.Note`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.display import HTML, SVG, Markdown, display
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..claims import CLAIMS
from ..files import check_writable, project_folder, replacing, write_text
from ..grading.grades import mean_interval
from ..grid import BRASS_SETS, PAPER_LOSSES, Cell, Profile
from ..listening.spectrograms import Note
from ..runs.records import Records

# Okabe and Ito's colours, told apart by the colour-blind; the dashes and markers tell them apart in grey.
COLOURS = {
    "STFT/ReLU": "#0072B2",
    "STFT/ELU": "#E69F00",
    "MFC/ReLU": "#009E73",
    "MFC/ELU": "#CC79A7",
    "CQT/ReLU": "#56B4E9",
    "CQT/ELU": "#D55E00",
    "MRSTFT/ReLU": "#000000",
    "MRSTFT/ELU": "#888888",
}
MARKERS = {"STFT": "o", "MFC": "s", "CQT": "^", "MRSTFT": "D", "brass1": "o", "brass1-3": "s", "brass1-5": "^"}
DASHES = {"ReLU": {}, "ELU": {"dashes": (4, 2)}}
WIDTHS = {"MFC": 3.5, "STFT": 2, "MRSTFT": 2, "CQT": 1.2}  # points; the flat lines of MFC and CQT lie upon each other
TITLES = {"published": "as published (MFC, CQT: gradient cut)", "corrected": "corrected (gradient flows)"}
SPECTRUM_LABEL = {
    "STFT": "STFT loss: mean |Δ log(1 + |STFT|²)|",
    "MFC": "MFC loss: mean |Δ log(1 + MFC²)|",
    "CQT": "CQT loss: mean |Δ log(1 + |CQT|²)|",
}
STAMP = "demonstration, not evidence"
MARKS = {"holds": "✔", "does not hold": "✘", "undecided": "?", "cannot be tested": "–"}
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

    def models(self, records: Records) -> list[Cell]:
        """Return the models of the grid that are drawn in this figure."""
        return [
            cell
            for cell in records.grid
            if cell.instruments in self.instruments
            and cell.loss in self.losses
            and cell.activation in self.activations
            and cell.elu_alpha == 1
        ]

    def panels(self, records: Records) -> tuple[str, ...]:
        """Return the ways the gradient goes: two where a loss exists with its gradient cut and flowing."""
        if self.losses == ("STFT",):
            return ("published",)
        return ("published", "corrected") if records.profile.cut else ("corrected",)

    @property
    def column(self) -> str:
        """The column that tells the kinds of models apart, beside the activation."""
        return "instruments" if len(self.instruments) > 1 else "training_loss"

    def select(self, records: Records) -> dict[str, pd.DataFrame]:
        """Return the rows of `Records.history` that each panel shows."""
        rows = records.history
        if rows.empty:
            return dict.fromkeys(self.panels(records), rows)
        shown = [cell.name for cell in self.models(records)]
        rows = rows[(rows.stage == self.stage) & (rows.spectrum == self.spectrum) & rows.cell.isin(shown)]
        inside = {"published": rows.published, "corrected": rows.gradient == "flow"}
        return {panel: rows[inside[panel]] for panel in self.panels(records)}

    def draw(self, records: Records) -> Figure:
        """Draw the curves, a panel for each way the gradient goes; panels without a model say so."""
        panels = self.select(records)
        losses = pd.concat(panels.values()).get("loss", pd.Series(dtype=float))
        shared = {"sharex": True, "sharey": True, "squeeze": False}
        figure, (row,) = plt.subplots(1, len(panels), figsize=(6.4 * len(panels), 4), layout="constrained", **shared)
        handles, counts = {}, {}
        for axes, (panel, rows) in zip(row, panels.items(), strict=True):
            if len(rows):
                for name, models in draw_curves(rows, axes, self.column).items():
                    counts.setdefault(name, []).append(models)
                handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
                axes.get_legend().remove()
            else:
                axes.text(0.5, 0.5, "no finished model", transform=axes.transAxes, ha="center")
            axes.set_ylabel(SPECTRUM_LABEL[self.spectrum])
            axes.tick_params(labelleft=True)  # each panel may be seen alone
            if len(panels) > 1:
                axes.set_title(TITLES[panel], fontsize=10)
            if losses.max() > WIDE * losses.min():
                axes.set_yscale("log")  # after drawing: seaborn would average logarithms
                axes.yaxis.set_minor_locator(LogLocator(subs=(1, 2, 3, 5)))
                axes.yaxis.set_minor_formatter("{x:g}")
                axes.yaxis.set_major_formatter("{x:g}")
            sns.despine(ax=axes)
        if handles:
            labels = [_label(name, counts[name]) for name in handles]
            figure.legend(handles.values(), labels, loc="outside right center", fontsize=8)
        return figure

    def caption(self, records: Records) -> str:
        """Return the paper's caption, and how many models there are here if not its ten."""
        seeds = records.profile.seeds
        if records.profile.cut:
            known = {"published": seeds(Cell()), "corrected": seeds(Cell(loss="CQT"))}
            counts = {panel: known[panel] for panel in self.panels(records)}
            here = " and ".join(f"{count} {panel}" for panel, count in counts.items()) + " of each kind"
        else:
            counts = {loss: seeds(Cell(loss=loss)) for loss in self.losses}
            here = ", ".join(f"{count} on the {loss}" for loss, count in counts.items()) + " of each activation"
        if "10 identical" not in self.title or set(counts.values()) == {10}:
            return f"{self.title}."
        return f"{self.title}. Here: {here}."

    def summary(self, records: Records) -> str:
        """Return in words how each kind's mean loss changes from before training to its end, and which ends lowest."""
        parts, panels = [], self.select(records)
        for panel, rows in panels.items():
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
            lead = {"published": "as published, ", "corrected": "Corrected, "}[panel] if len(panels) > 1 else ""
            lowest = f"; {ends['last'].idxmin()} ends lowest" if len(ends) > 1 else ""
            parts.append(f"{lead}{', '.join(phrases)}{lowest}.")
        return "Since epoch 0, before training: " + " ".join(parts) if parts else ""


def draw_curves(frame: pd.DataFrame, axes: plt.Axes, column: str = "training_loss") -> dict[str, int]:
    """Draw loss over epoch: a thin line for each model, a bold one with markers for the mean of each kind.

    Sets trained for different epochs are drawn over updates, to be compared. Kinds are named by activation and
    `column`, "training_loss" or "instruments", which marks them. Returns how many models each kind has, by name.
    """
    counts = {}
    over = "epoch" if frame.groupby("instruments").epoch.max().nunique() == 1 else "updates"
    for (loss, activation, instruments), group in frame.groupby(["training_loss", "activation", "instruments"]):
        models = group.cell.nunique()
        style = {"color": COLOURS[f"{loss}/{activation}"], "zorder": 2 + 1 / WIDTHS[loss]} | DASHES[activation]
        if models > 1:
            sns.lineplot(group, x=over, y="loss", units="cell", estimator=None, ax=axes, lw=0.5, alpha=0.5, **style)
        name = f"{loss}/{activation}" if column == "training_loss" else f"{instruments} {activation}"
        counts[name] = models
        style |= {"lw": WIDTHS[loss], "marker": MARKERS[group[column].iloc[0]], "markersize": 5, "label": name}
        band = {"errorbar": mean_interval if models > 1 else None, "err_kws": {"alpha": 0.2, "lw": 0}}
        sns.lineplot(group, x=over, y="loss", ax=axes, **band, **style)
        axes.lines[-1].set_markevery(1 + group.epoch.nunique() // MARKED)
    axes.set_xlabel(f"{over} (0: before training)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return counts


def _label(name: str, models: list[int]) -> str:
    """Return a kind's name with its number of models, published and corrected where they differ."""
    counted = f"{models[0]} model{'s' * (models[0] > 1)}"
    return f"{name}, {counted}" + (f" (corrected: {models[1]})" if len(set(models)) > 1 else "")


_THREE = ("k+m+v",)
_COMPARED = "STFT training loss of the {}, comparing {} activation, {}"
_BRASS_NOTE = "STFT of a brass sample from a model using {} as training data and {} as activation function"
# fmt: off
FIGURES: dict[int, Curves | Note] = {
    1: Curves("STFT loss of the autoencoder for different training losses, 10 identical piano models",
              "autoencoder", "STFT", losses=PAPER_LOSSES),
    2: Curves("MFC loss of the autoencoder for different training losses, 10 identical piano models",
              "autoencoder", "MFC", losses=PAPER_LOSSES),
    3: Curves("CQT loss of the autoencoder for different training losses, 10 identical piano models",
              "autoencoder", "CQT", losses=PAPER_LOSSES),
    4: Curves("STFT training loss of the autoencoder, ReLU activation, 10 identical piano models",
              "autoencoder", "STFT", activations=("ReLU",)),
    5: Curves("MFC training loss of the autoencoder, ReLU activation, 10 identical piano models",
              "autoencoder", "MFC", losses=("MFC",), activations=("ReLU",)),
    6: Curves("CQT training loss of the autoencoder, ReLU activation, 10 identical piano models",
              "autoencoder", "CQT", losses=("CQT",), activations=("ReLU",)),
    7: Curves(_COMPARED.format("autoencoder", "ReLU and ELU", "10 identical piano models"), "autoencoder", "STFT"),
    8: Curves(_COMPARED.format("LSTM", "ReLU and ELU", "10 identical piano models"), "lstm", "STFT"),
    9: Curves(_COMPARED.format("fine-tuning", "ReLU and ELU", "10 identical piano models"), "fine-tuning", "STFT"),
    10: Curves(_COMPARED.format("autoencoder", "ReLU and ELU", "3 instrument model"), "autoencoder", "STFT", _THREE),
    11: Curves(_COMPARED.format("LSTM", "ReLU and ELU", "3 instrument model"), "lstm", "STFT", _THREE),
    12: Curves(_COMPARED.format("fine-tuning", "ReLU and ELU", "3 instrument model"), "fine-tuning", "STFT", _THREE),
    13: Curves(_COMPARED.format("autoencoder", "ReLU/ELU", "brass models"), "autoencoder", "STFT", BRASS_SETS),
    14: Curves(_COMPARED.format("LSTM", "ReLU/ELU", "brass models"), "lstm", "STFT", BRASS_SETS),
    15: Curves(_COMPARED.format("fine-tuning", "ReLU/ELU", "brass models"), "fine-tuning", "STFT", BRASS_SETS),
    16: Note("STFT of a low quality keyboard sample", Cell("k+m+v", "ReLU", "CQT", "cut"), "keys"),
    17: Note("STFT of a medium quality keyboard sample", Cell("k+m+v", "ELU"), "keys"),
    18: Note("STFT of a high quality keyboard sample", Cell("k+m+v", "ReLU"), "keys"),
    19: Note(_BRASS_NOTE.format("1 brass instrument", "ELU"), Cell("brass1", "ELU"), "brass1"),
    20: Note(_BRASS_NOTE.format("1 brass instrument", "ReLU"), Cell("brass1", "ReLU"), "brass1"),
    21: Note(_BRASS_NOTE.format("5 brass instruments", "ELU"), Cell("brass1-5", "ELU"), "brass1"),
    22: Note(_BRASS_NOTE.format("5 brass instruments", "ReLU"), Cell("brass1-5", "ReLU"), "brass1"),
}
# fmt: on


@plt.style.context("default")  # whatever a matplotlibrc says
def draw(number: int, records: Records) -> Figure:
    """Draw one figure of the paper, 1 to 22; panels without a finished model say so, and nothing is drawn as zero."""
    figure = FIGURES[number].draw(records)
    stamp(figure, records.profile)
    figure.draw_without_rendering()  # laid out once, not again for each file
    figure.set_layout_engine("none")
    return figure


def caption(number: int, records: Records) -> str:
    """Return the paper's caption in Markdown, with what differs here or is missing, and what the figure shows."""
    text = f"**Fig. {number}.** {FIGURES[number].caption(records)}"
    done = set(records.history.get("cell", ()))
    absent = [cell.name for cell in FIGURES[number].models(records) if cell.name not in done]
    if absent:
        kinds = groupby((name.rpartition("-") for name in absent), key=lambda parts: parts[0])
        named = (f"{kind}-{','.join(seed for *_, seed in parts)}" for kind, parts in kinds)
        text += f" *Missing: {', '.join(named)}.*"
    return f"{text}\n\n{FIGURES[number].summary(records)}"


@plt.style.context("default")
def save(number: int, records: Records, drawn: Figure | None = None) -> Path:
    """Save a figure as PNG, SVG and PDF under ``figures/<profile>/``; return the path of the PNG."""
    path = output_folder(records.profile) / f"fig{number:02d}.png"
    save_picture(drawn or draw(number, records), path, "svg", "pdf", "png", dpi=110)
    return path


@plt.style.context("default")
def panel_boxes(figure: Figure) -> list[list[float]]:
    """Return x, y, width and height of each panel and legend in the figure's SVG: a phone shows them one by one."""
    extents = [part.get_tightbbox() for part in (*figure.axes, *figure.legends)]
    points = [extent.transformed(figure.dpi_scale_trans.inverted()).extents * 72 for extent in extents]
    height = figure.get_figheight() * 72
    return [
        [round(part, 1) for part in (left, height - top, right - left, top - low)] for left, low, right, top in points
    ]


def taken_back(row: pd.Series) -> str:
    """Return " (Holm: undecided)" for a verdict that does not stand when all are to be right together, else nothing."""
    return "" if row.holm == row.verdict else " (Holm: undecided)"


def statements(number: int, checked: pd.DataFrame) -> str:
    """Return the paper's statements on a figure in Markdown: verdict (from `claims.check`), link to the numbers."""
    about = [claim.key for claim in CLAIMS if number in claim.figures and not claim.ours]
    return "\n".join(
        f"- {MARKS[row.verdict]} **{row.verdict}**{taken_back(row)}: [{row.statement}](#claim-{row.key})"
        for row in checked[checked.key.isin(about)].itertuples()
    )


def show(number: int, records: Records, checked: pd.DataFrame) -> None:
    """Save a figure (see `save`) and display it: a target for links, caption, what the paper says of it, players."""
    figure, drawn = FIGURES[number], draw(number, records)
    metadata = {"alt": f"Figure {number}: {figure.caption(records)} {figure.summary(records)}"}
    metadata |= {"panels": panel_boxes(drawn), "name": f"drawing-{number}"}
    path = save(number, records, drawn).with_suffix(".svg")
    drawing = re.sub("<metadata>.*</metadata>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = f"{caption(number, records)}\n\n{statements(number, checked)}"
    display(HTML(f'<a id="figure-{number}"></a>'), SVG(drawing, metadata=metadata), Markdown(text))
    if isinstance(figure, Note) and (players := figure.players(records)):
        display(players)


def book(records: Records) -> Path:
    """Join the figures saved so far to one PDF, ``figures/<profile>/figures.pdf``, for a paper; return its path."""
    from pypdf import PdfWriter  # of the extra "report"; the commands of "grid" import this module, too

    folder = output_folder(records.profile)
    with PdfWriter() as pages, replacing(folder / "figures.pdf") as beside:
        for file in sorted(folder.glob("fig[0-9][0-9].pdf")):
            pages.append(file, outline_item=f"Fig. {int(file.stem[3:])}")
        pages.write(beside)
    return folder / "figures.pdf"


def output_folder(profile: Profile) -> Path:
    """Return ``figures/<profile>``, made if need be; PermissionError names it if nothing may be written there."""
    folder = project_folder() / "figures" / profile.name
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def stamp(figure: Figure, profile: Profile) -> None:
    """Mark the figure of a small profile as no evidence."""
    if not profile.evidence:
        figure.suptitle(f"{profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")


def save_picture(figure: Figure, path: Path, *kinds: str, dpi: int) -> None:
    """Save a figure as files of some kinds, "png", "svg" or "pdf", the same for the same figure, and close it."""
    options = {"png": {"dpi": dpi}, "svg": {"metadata": {"Date": None}}, "pdf": {"metadata": {"CreationDate": None}}}
    with plt.rc_context({"svg.hashsalt": "singlib"}):
        for kind in kinds:
            with replacing(path.with_suffix(f".{kind}")) as beside:
                figure.savefig(beside, **options[kind])
    plt.close(figure)


def save_markdown(text: str, path: Path, profile: Profile) -> str:
    """Save a text as Markdown, that of a small profile marked as no evidence; return what was saved."""
    if not profile.evidence:
        text += f"\n*{profile.name}: {STAMP}*\n"
    write_text(path.with_suffix(".md"), text)
    return text
