"""What a claim is, and the selections that it draws its values by: one of each model, or pair of models.

Selections leave out ELU with an a other than 1, unless they are asked for it, and raise `Untestable` where the records
hold nothing to measure. Statistics and verdicts are those of `singlib.claims.statistics`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..grading.grades import SCORES
from ..runs.records import Records
from .statistics import Effect, Untestable

# What tells one model from another: the index of everything that is selected here.
KINDS = ["instruments", "activation", "training_loss", "gradient", "seed", "elu_alpha"]

# Columns of `Records.about` that together are what a model cost.
STAGES_OF_TIME = ("seconds_autoencoder", "seconds_lstm", "seconds_fine-tuning")


# Rules that were changed when the records of recorded-many-updates had come in, and before those of recorded.
_SETS = "sets of instruments weigh alike; it was the mean over all pairs, most of them of keys"
REVISED = {
    "elu-plateau": "the rest is looked for; it was taken to be epochs 5 to 25, and the fall 25 to 45",
    "relu-plateau": "the rest is looked for; it was taken to be epochs 5 to 25, and the fall 25 to 45",
    "elu-starts-above-relu": "added when seed 100 had been seen, which the grid does not use",
    "elu-joins-relu": "added when seed 100 had been seen, which the grid does not use, and joined after 2 epochs; the "
    "bar of 'elu-joins', over 2, it would miss",
    "several-sound-better": "only models that were trained for the same epochs are compared",
    "lstm-goes-with-grade": "within sets and within the STFT loss; it pooled three losses, whose models differ in both",
    "lstm-matters-most": "within sets and within the STFT loss; it pooled three losses, whose models differ in both",
    "mfc-sounds-better-at-cost": f"a doubling of the cost is a grade; {_SETS}",
    "cqt-sounds-better-at-cost": f"a doubling of the cost is a grade; {_SETS}",
    "brass1-elu-low": "over models; it was over the notes of one",
    "brass-elu-worse-with-five": "over models; it was over the notes of one",
    "brass-relu-best-with-five": "over models; it was over the notes of one",
    "keys-velocity-not-heard": "over models; it was over the notes of all of them",
} | dict.fromkeys(
    (
        *("relu-sounds-better", "elu-medium", "relu-high", "relu-pitch", "mfc-trains", "cqt-trains"),
        *("mfc-sounds-better", "cqt-sounds-better", "mfc-costs-more", "cqt-costs-more"),
        *("mfc-own-lower", "cqt-own-lower", "corrected-relu-sounds-better"),
        *("cqt-lowers-stft-faster", "mfc-lowers-stft-faster"),
        *("elu-fewer-epochs", "elu-less-time", "elu-costs-more", "elu-nearer-zero"),
        *("brass-autoencoder", "brass-lstm", "brass-fine-tuning", "brass-several-high"),
    ),
    _SETS,
)


@dataclass(frozen=True)
class Claim:
    """A statement and how it is put to the test.

    Attributes
    ----------
    key : str
        A slug, unique.
    place : str
        Section and figures of the paper, for example "3.1, Fig. 1".
    statement : str
        The statement, in our words.
    effect : str
        What is measured, and what would make the statement true.
    measure : callable
        Takes `Records`, returns an `Effect`, raises `Untestable`.
    ours : bool
        Whether it is about an experiment of ours rather than one of the authors'.
    revised : str
        What of its rule was changed after records had come in; empty if nothing was.
    """

    key: str
    place: str
    statement: str
    effect: str
    measure: Callable[[Records], Effect]
    ours: bool = False
    revised: str = ""

    @property
    def figures(self) -> list[int]:
        """The numbers of the paper's figures that the statement is about: 1, 2, 3 and 7 of "Figs. 1-3, 7"."""
        spans = re.findall(r"(\d+)(?:-(\d+))?", self.place.partition("Fig")[2])
        return [number for first, last in spans for number in range(int(first), int(last or first) + 1)]


def claims_of(*rows: tuple, ours: bool = False) -> tuple[Claim, ...]:
    """Make claims of rows of key, place, statement, effect, and the function (with its arguments) that measures it."""
    return tuple(
        Claim(*row[:4], lambda records, row=row: row[4](records, *row[5:]), ours, REVISED.get(row[0], ""))
        for row in rows
    )


def chosen(frame: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows whose columns have the values asked for (or one of a tuple of them)."""
    for column, value in ({"elu_alpha": 1.0} | where).items():
        if not frame.empty:  # one without rows may have no columns either
            frame = frame[frame[column].isin(value if isinstance(value, tuple) else (value,))]
    if frame.empty:
        wanted = (" or ".join(map(str, value)) if isinstance(value, tuple) else value for value in where.values())
        raise Untestable(
            "no finished model with "
            + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in zip(where, wanted, strict=True))
        )
    return frame


def curves(records: Records, stage: str, **where: object) -> pd.DataFrame:
    """Return the loss of a stage: a row for each model (`KINDS`), a column for each epoch."""
    return chosen(records.history, stage=stage, **where).pivot(index=KINDS, columns="epoch", values="loss")


def last_epochs(losses: pd.DataFrame) -> pd.Series:
    """Return the last epoch of each curve: not all models of a profile run equally long."""
    return losses.apply(pd.Series.last_valid_index, axis=1)


def needs(losses: pd.DataFrame, epochs: int) -> pd.DataFrame:
    """Return the curves that are as long as that."""
    last = last_epochs(losses)
    if last.max() < epochs:
        raise Untestable(f"needs {epochs} epochs, these models ran {last.max()}")
    return losses[last >= epochs]


def end(losses: pd.DataFrame) -> pd.Series:
    """Return each curve's end: its mean over the last tenth of its epochs, since one epoch may be an outlier."""
    last = last_epochs(needs(losses, 1))
    begins = last - np.maximum(1, last / 10)
    late = losses.columns.to_numpy() > begins.to_numpy()[:, None]
    return losses.where(late).mean(axis=1)


def epochs_to(losses: pd.DataFrame, level: pd.Series | float) -> pd.Series:
    """Return the first epoch that is as low as `level` (of each model); one past the last if none is."""
    reached = losses.drop(columns=0, errors="ignore").le(level, axis=0)
    return reached.idxmax(axis=1).where(reached.any(axis=1), last_epochs(losses) + 1)


def scores(records: Records, **where: object) -> pd.Series:
    """Return the mean grade of each model's notes, from 0 ("-") to 5 ("++")."""
    notes = chosen(records.quality, **where)
    return notes.grade.map(SCORES).groupby([notes[kind] for kind in KINDS]).mean()


def pairs(values: pd.DataFrame, column: str, one: object, other: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the models of two kinds that agree in all but `column`, in the same order."""
    kind = values.index.get_level_values(column)
    first, second = (values[kind == which].droplevel(column) for which in (one, other))
    both = first.index.intersection(second.index)
    if both.empty:
        raise Untestable(f"no pair of {one} and {other}")
    return first.loc[both], second.loc[both]


def of_all(values: pd.Series, sets: Iterable[str]) -> pd.Series:
    """Return the values if there are some of every set: a part of the sets does not test a statement on all."""
    missing = [name for name in sets if name not in values.index.get_level_values("instruments")]
    if missing:
        raise Untestable(f"no pair of models, or no model, of {', '.join(missing)}")
    return values


def lower(one: pd.Series, other: pd.Series) -> pd.Series:
    """Return by how much the first lies below the second, in % of the second."""
    return 100 * (other - one) / other
