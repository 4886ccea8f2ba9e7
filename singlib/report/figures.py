"""Figures 1-22 of the paper, from records alone: which they are, and how they are drawn, saved and shown.

Figures 1-15 are loss curves (`singlib.report.curves`), Figures 16-22 spectrograms (`singlib.listening.spectrograms`).
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, SVG, Markdown, display
from matplotlib.figure import Figure
from pypdf import PdfWriter

from ..claims import CLAIMS
from ..files import check_writable, project_folder
from ..grid import PAPER_LOSSES, Cell, Profile
from ..listening.spectrograms import Note
from ..runs.records import Records
from .curves import Curves

STAMP = "demonstration, not evidence"
MARKS = {"holds": "✔", "does not hold": "✘", "undecided": "?", "cannot be tested": "–"}


_BRASS = ("brass1", "brass1-3", "brass1-5")
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
    7: Curves("STFT training loss of the autoencoder, comparing ReLU and ELU activation, 10 identical piano models",
              "autoencoder", "STFT"),
    8: Curves("STFT training loss of the LSTM, comparing ReLU and ELU activation, 10 identical piano models",
              "lstm", "STFT"),
    9: Curves("STFT training loss of the fine-tuning, comparing ReLU and ELU activation, 10 identical piano models",
              "fine-tuning", "STFT"),
    10: Curves("STFT training loss of the autoencoder, comparing ReLU and ELU activation, 3 instrument model",
               "autoencoder", "STFT", ("k+m+v",)),
    11: Curves("STFT training loss of the LSTM, comparing ReLU and ELU activation, 3 instrument model",
               "lstm", "STFT", ("k+m+v",)),
    12: Curves("STFT training loss of the fine-tuning, comparing ReLU and ELU activation, 3 instrument model",
               "fine-tuning", "STFT", ("k+m+v",)),
    13: Curves("STFT training loss of the autoencoder, comparing ReLU/ELU activation, brass models",
               "autoencoder", "STFT", _BRASS),
    14: Curves("STFT training loss of the LSTM, comparing ReLU/ELU activation, brass models", "lstm", "STFT", _BRASS),
    15: Curves("STFT training loss of the fine-tuning, comparing ReLU/ELU activation, brass models",
               "fine-tuning", "STFT", _BRASS),
    16: Note("STFT of a low quality keyboard sample", Cell("k+m+v", "ReLU", "CQT", "cut"), "keys"),
    17: Note("STFT of a medium quality keyboard sample", Cell("k+m+v", "ELU"), "keys"),
    18: Note("STFT of a high quality keyboard sample", Cell("k+m+v", "ReLU"), "keys"),
    19: Note("STFT of a brass sample from a model using 1 brass instrument as training data and ELU as activation "
             "function", Cell("brass1", "ELU"), "brass1"),
    20: Note("STFT of a brass sample from a model using 1 brass instrument as training data and ReLU as activation "
             "function", Cell("brass1", "ReLU"), "brass1"),
    21: Note("STFT of a brass sample from a model using 5 brass instruments as training data and ELU as activation "
             "function", Cell("brass1-5", "ELU"), "brass1"),
    22: Note("STFT of a brass sample from a model using 5 brass instruments as training data and ReLU as activation "
             "function", Cell("brass1-5", "ReLU"), "brass1"),
}
# fmt: on


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
    figure = FIGURES[number].draw(records)
    if not records.profile.evidence:
        figure.suptitle(f"{records.profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")
    return figure


def caption(number: int, records: Records) -> str:
    """Return the paper's caption in Markdown, with what differs here or is missing, and what the figure shows."""
    text = f"**Fig. {number}.** {FIGURES[number].caption(records)}"
    absent = missing(number, records)
    if absent:
        kinds = groupby((name.rpartition("-") for name in absent), key=lambda parts: parts[0])
        named = (f"{kind}-{','.join(seed for *_, seed in parts)}" for kind, parts in kinds)
        text += f" *Missing: {', '.join(named)}.*"
    return f"{text}\n\n{FIGURES[number].summary(records)}"


@plt.style.context("default")
def save(number: int, records: Records) -> Path:
    """Draw a figure and save it as PNG, SVG and PDF under ``figures/<profile>/``; return the path of the PNG."""
    figure = draw(number, records)
    path = output_folder(records.profile) / f"fig{number:02d}.png"
    with plt.rc_context({"svg.hashsalt": "singlib"}):  # the same figure is the same file
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def statements(number: int, checked: pd.DataFrame) -> str:
    """Return the paper's statements on a figure in Markdown: the verdict, and a link to the numbers behind it.

    Parameters
    ----------
    number : int
        1 to 22.
    checked : DataFrame
        Of `singlib.claims.check`.
    """
    about = [claim.key for claim in CLAIMS if number in claim.figures and not claim.ours]
    return "\n".join(
        f"- {MARKS[row.verdict]} **{row.verdict}**: [{row.statement}](#claim-{row.key})"
        for row in checked[checked.key.isin(about)].itertuples()
    )


def show(number: int, records: Records, checked: pd.DataFrame) -> None:
    """Save a figure (see `save`) and display it: a target for links, caption, what the paper says of it, players."""
    figure = FIGURES[number]
    path = save(number, records).with_suffix(".svg")
    alternative = f"Figure {number}: {figure.caption(records)} {figure.summary(records)}"
    text = f"{caption(number, records)}\n\n{statements(number, checked)}"
    display(HTML(f'<a id="figure-{number}"></a>'), SVG(path, metadata={"alt": alternative}), Markdown(text))
    if players := figure.players(records):
        display(players)


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
