"""Figures 1-22 of the paper, from records alone: a table of what each shows, and two ways of drawing.

Figures 1-15 are loss curves, Figures 16-22 spectrograms. Colour and dashes stand for training loss
and activation in all of them; thin lines are models, the bold line with markers is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.signal
import seaborn as sns
import soundfile
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from . import nsynth
from .grid import ROOT, Cell, Profile
from .records import Records, Run

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
CROWDED = 4  # a largest loss so many times the smallest asks for a logarithmic axis
STAMP = "demonstration, not evidence"


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


@dataclass(frozen=True)
class Note:
    """A figure of one generated note beside its target."""

    caption: str
    cell: Cell
    role: str

    def shows(self, cell: Cell) -> bool:
        """Whether this is the model whose note is drawn."""
        return cell == self.cell


def _training_losses(spectrum: str) -> Curves:
    caption = f"{spectrum} loss of the autoencoder for different training losses, 10 identical piano models"
    return Curves(caption, "autoencoder", spectrum, losses=("STFT", "MFC", "CQT"))


def _training_loss(spectrum: str) -> Curves:
    caption = f"{spectrum} training loss of the autoencoder, ReLU activation, 10 identical piano models"
    return Curves(caption, "autoencoder", spectrum, losses=(spectrum,), activations=("ReLU",))


def _stages(models: str, *instruments: str, activations: str = "ReLU and ELU activation") -> list[Curves]:
    stages = (("the autoencoder", "autoencoder"), ("the LSTM", "lstm"), ("the fine-tuning", "fine-tuning"))
    return [
        Curves(f"STFT training loss of {what}, comparing {activations}, {models}", stage, "STFT", instruments)
        for what, stage in stages
    ]


_BRASS = "STFT of a brass sample from a model using {} as training data and {} as activation function"
FIGURES: dict[int, Curves | Note] = dict(
    enumerate(
        [
            *map(_training_losses, ("STFT", "MFC", "CQT")),
            *map(_training_loss, ("STFT", "MFC", "CQT")),
            *_stages("10 identical piano models", "keys"),
            *_stages("3 instrument model", "k+m+v"),
            *_stages("brass models", "brass1", "brass1-3", "brass1-5", activations="ReLU/ELU activation"),
            Note("STFT of a low quality keyboard sample", Cell("k+m+v", "ReLU", "CQT", "cut"), "keys"),
            Note("STFT of a medium quality keyboard sample", Cell("k+m+v", "ELU"), "keys"),
            Note("STFT of a high quality keyboard sample", Cell("k+m+v", "ReLU"), "keys"),
            Note(_BRASS.format("1 brass instrument", "ELU"), Cell("brass1", "ELU"), "brass1"),
            Note(_BRASS.format("1 brass instrument", "ReLU"), Cell("brass1", "ReLU"), "brass1"),
            Note(_BRASS.format("5 brass instruments", "ELU"), Cell("brass1-5", "ELU"), "brass1"),
            Note(_BRASS.format("5 brass instruments", "ReLU"), Cell("brass1-5", "ReLU"), "brass1"),
        ],
        start=1,
    )
)


def missing(number: int, records: Records) -> list[str]:
    """Return the names of the cells that a figure shows and that have no finished records."""
    done = set(records.history.get("cell", ()))
    return [cell.name for cell in records.grid if FIGURES[number].shows(cell) and cell.name not in done]


def draw(number: int, records: Records) -> Figure:
    """Draw one figure of the paper.

    Parameters
    ----------
    number : int
        1 to 22.
    records : Records
        Of one profile.

    Returns
    -------
    Figure
        Panels without a finished model say so; nothing is drawn as zero.
    """
    figure = FIGURES[number]
    drawn = _draw_curves(figure, records) if isinstance(figure, Curves) else _draw_note(figure, records)
    if not records.profile.evidence:
        drawn.suptitle(f"{records.profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")
    return drawn


def curves(frame: pd.DataFrame, axes: plt.Axes, mark: str = "training_loss") -> None:
    """Draw loss over epoch: a thin line a model, a bold one with markers for the mean of each kind.

    Parameters
    ----------
    frame : DataFrame
        Rows of `Records.history` of one stage and spectrum.
    axes : Axes
        Where.
    mark : str
        The column that the markers stand for.
    """
    for (loss, activation, instruments), group in frame.groupby(["training_loss", "activation", "instruments"]):
        models = group.cell.nunique()
        style = {"color": COLOURS[f"{loss}/{activation}"], "zorder": 2 + 1 / WIDTHS[loss]}
        if DASHES[activation]:
            style["dashes"] = DASHES[activation]
        if models > 1:
            sns.lineplot(group, x="epoch", y="loss", units="cell", estimator=None, ax=axes, lw=0.7, alpha=0.6, **style)
        name = f"{loss}/{activation}" if mark == "training_loss" else f"{instruments} {activation}"
        sns.lineplot(
            group,
            x="epoch",
            y="loss",
            errorbar=None,
            ax=axes,
            lw=WIDTHS[loss],
            marker=MARKERS[group[mark].iloc[0]],
            markersize=5,
            label=name if models == 1 else f"{name}, mean of {models}",
            **style,
        )
    axes.set_xlabel("epoch (0: before training)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_curves(figure: Curves, records: Records) -> Figure:
    drawn, all_axes = plt.subplots(
        1,
        len(figure.panels),
        figsize=(6.4 * len(figure.panels), 4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    frame = records.history
    if len(frame):
        frame = frame[
            (frame.stage == figure.stage)
            & (frame.spectrum == figure.spectrum)
            & frame.instruments.isin(figure.instruments)
            & frame.training_loss.isin(figure.losses)
            & frame.activation.isin(figure.activations)
            & (frame.elu_alpha == 1)
        ]
    crowded = len(frame) and frame.loss.max() > CROWDED * frame.loss.min()
    handles = {}
    for axes, panel in zip(all_axes[0], figure.panels, strict=True):
        rows = frame[frame.published if panel == "published" else frame.gradient == "flow"] if len(frame) else frame
        if len(rows):
            curves(rows, axes, "instruments" if len(figure.instruments) > 1 else "training_loss")
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
        drawn.legend(handles.values(), handles, loc="outside right center", fontsize=8)
    return drawn


def beside_target(profile: Profile, cell: Cell, label: nsynth.Label) -> Figure:
    """Draw the spectrogram of a target note and of what a model made of its label, on one scale of dB."""
    target = nsynth.read_waveform(nsynth.index(profile.data)[label])
    generated, _ = soundfile.read(Run(cell, profile).generated_file(label))
    powers = [spectrogram(target), spectrogram(generated)]
    drawn, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for side, power, title in zip(axes, powers, ("target", "generated"), strict=True):
        level = 10 * np.log10(power / powers[0].max() + 1e-12)
        extent = (0, nsynth.SAMPLES / nsynth.SAMPLE_RATE, 0, nsynth.SAMPLE_RATE / 2000)
        image = side.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0, cmap="magma")
        side.set(xlabel="time (s)", ylabel="frequency (kHz)")
        side.set_title(f"{title}: {label.role}, MIDI {label.pitch}, velocity {label.velocity}", fontsize=10)
        side.label_outer()
    drawn.colorbar(image, ax=axes, label="power (dB below the target's peak)", fraction=0.05)
    return drawn


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Return the power ``(513, frames)`` of frames of 1,024 samples at hop 256, those of network and loss."""
    _, _, transform = scipy.signal.stft(waveform, nperseg=1024, noverlap=768, boundary=None, padded=False)
    return np.abs(transform) ** 2


def _draw_note(figure: Note, records: Records) -> Figure:
    if len(records.history) and figure.cell.name in set(records.history.cell):
        label = nsynth.nearest(records.profile.data, figure.role, *nsynth.FIGURE_NOTES[figure.role])
        return beside_target(records.profile, figure.cell, label)
    drawn, axes = plt.subplots(figsize=(10, 3.6))
    axes.axis("off")
    axes.text(0.5, 0.5, f"no finished model {figure.cell.name}", ha="center", transform=axes.transAxes)
    return drawn


def caption(number: int, records: Records) -> str:
    """Return the paper's caption in Markdown, with what is missing or differs here, by name."""
    figure = FIGURES[number]
    text = f"**Fig. {number}.** {figure.caption}."
    if isinstance(figure, Curves):
        if "10 identical" in figure.caption and records.profile.keys_models != 10:
            text += f" Here: at most {records.profile.keys_models} of each kind."
    else:
        wanted = nsynth.FIGURE_NOTES[figure.role]
        label = nsynth.nearest(records.profile.data, figure.role, *wanted)
        text += f" Model {figure.cell.name}, {figure.role}, MIDI {label.pitch}, velocity {label.velocity}."
        if label[1:] != wanted:
            text += f" The paper's note (MIDI {wanted[0]}, velocity {wanted[1]}) is not in data/{records.profile.data}."
    absent = missing(number, records)
    return text + (f" *Missing: {', '.join(absent)}.*" if absent else "")


def show(number: int, records: Records) -> None:
    """Draw a figure, save it as PNG and SVG under ``figures/<profile>/`` and display it with its caption."""
    drawn = draw(number, records)
    path = output_folder(records.profile) / f"fig{number:02d}"
    with plt.rc_context({"svg.hashsalt": "singlib"}):  # the same figure is the same file
        drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    drawn.savefig(path.with_suffix(".png"), dpi=110)
    plt.close(drawn)
    display(Image(path.with_suffix(".png")), Markdown(caption(number, records)))


def output_folder(profile: Profile) -> Path:
    """Return ``figures/<profile>``, made if need be."""
    folder = ROOT / "figures" / profile.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
