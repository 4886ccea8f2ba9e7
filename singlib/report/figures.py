"""Figures 1-22 of the paper, from records alone: a table of what each shows, drawn in two ways.

Figures 1-15 are loss curves (`singlib.report.curves`), Figures 16-22 spectrograms (`singlib.listening.spectrograms`).
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure
from pypdf import PdfWriter

from ..claims import CLAIMS
from ..files import check_writable, project_folder
from ..grid import Cell, Profile
from ..listening import players, spectrograms
from ..listening.spectrograms import Note
from ..nsynth import selection
from ..runs.records import Records
from . import curves
from .curves import Curves

STAMP = "demonstration, not evidence"
MARKS = {"holds": "✔", "does not hold": "✘", "undecided": "?", "cannot be tested": "–"}


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


@plt.style.context("default")  # whatever a matplotlibrc says
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
    way = curves.draw_curves if isinstance(figure, Curves) else spectrograms.draw_note
    drawn = way(figure, records)
    if not records.profile.evidence:
        drawn.suptitle(f"{records.profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")
    return drawn


def caption(number: int, records: Records) -> str:
    """Return the paper's caption in Markdown, with what is missing or differs here, by name, and what is seen."""
    figure = FIGURES[number]
    said = f"{figure.caption}." if isinstance(figure, Curves) else f'The paper\'s caption: "{figure.caption}".'
    text = f"**Fig. {number}.** {said}"
    if isinstance(figure, Curves):
        counts = {"published": records.profile.seeds(Cell()), "corrected": records.profile.seeds(Cell(loss="CQT"))}
        if "10 identical" in figure.caption and {counts[panel] for panel in figure.panels} != {10}:
            text += f" Here: {' and '.join(f'{counts[panel]} {panel}' for panel in figure.panels)} of each kind."
    else:
        wanted, label = selection.FIGURE_NOTES[figure.role], spectrograms.shown(figure, records.profile)
        text += f" Model {figure.cell.name}, {figure.role}, MIDI {label.pitch}, velocity {label.velocity}."
        if label[1:] != wanted:
            text += f" The paper's note (MIDI {wanted[0]}, velocity {wanted[1]}) is not in data/{records.profile.data}."
    absent = missing(number, records)
    if absent:
        kinds = groupby((name.rpartition("-") for name in absent), key=lambda parts: parts[0])
        named = (f"{kind}-{','.join(seed for *_, seed in parts)}" for kind, parts in kinds)
        text += f" *Missing: {', '.join(named)}.*"
    return f"{text}\n\n{seen(number, records)}"


def seen(number: int, records: Records) -> str:
    """Say in a sentence what is seen in a figure, from its numbers; nothing where nothing is drawn."""
    figure = FIGURES[number]
    return (curves if isinstance(figure, Curves) else spectrograms).seen(figure, records)


@plt.style.context("default")
def save(number: int, records: Records) -> Path:
    """Draw a figure and save it as PNG, SVG and PDF under ``figures/<profile>/``; return the path of the PNG."""
    drawn = draw(number, records)
    path = output_folder(records.profile) / f"fig{number:02d}.png"
    with plt.rc_context({"svg.hashsalt": "singlib"}):  # the same figure is the same file
        drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    drawn.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    drawn.savefig(path, dpi=110)
    plt.close(drawn)
    return path


def statements(number: int, checked: pd.DataFrame) -> str:
    """Return the paper's statements on a figure in Markdown, each with what came of it.

    Parameters
    ----------
    number : int
        1 to 22.
    checked : DataFrame
        Of `singlib.claims.check`.
    """
    about = [claim.key for claim in CLAIMS if number in claim.figures and not claim.ours]
    rows = checked[checked.key.isin(about)]
    return "\n".join(f"- {MARKS[row.verdict]} {row.statement} *{row.verdict}*" for row in rows.itertuples())


def show(number: int, records: Records, checked: pd.DataFrame) -> None:
    """Save a figure (see `save`) and display it with its caption, what the paper says of it, and players of a note."""
    figure = FIGURES[number]
    paper = "" if isinstance(figure, Curves) else ", in the paper's words"  # the grade may be another here
    alternative = f"Figure {number}{paper}: {figure.caption}. {seen(number, records)}"
    text = f"{caption(number, records)}\n\n{statements(number, checked)}"
    display(Image(save(number, records), alt=alternative), Markdown(text))
    if isinstance(figure, Note) and not missing(number, records):
        label = spectrograms.shown(figure, records.profile)
        display(players.table(spectrograms.sounds(records, {figure.cell.name: figure.cell}, label), label))


def book(records: Records) -> Path:
    """Join the figures saved so far to one PDF, ``figures/<profile>/figures.pdf``, for a paper; return its path."""
    folder = output_folder(records.profile)
    with PdfWriter() as pages:
        for file in sorted(folder.glob("fig[0-9][0-9].pdf")):
            pages.append(file)
        pages.write(folder / "figures.pdf")
    return folder / "figures.pdf"


def output_folder(profile: Profile) -> Path:
    """Return ``figures/<profile>``, made if need be; PermissionError names it if nothing may be written there."""
    folder = project_folder() / "figures" / profile.name
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
