"""What claims measure on curves, grades and facts: a value for each model, or for each pair of models.

Selections leave out ELU with an a other than 1 unless they are asked for it, and raise `Untestable` where the records
hold nothing to measure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..grading.grades import SCORES
from ..grid import PAPER_ACTIVATIONS
from ..runs.records import Records
from .statistics import Untestable

# What tells one model from another: the index of every value.
KINDS = ["instruments", "activation", "training_loss", "gradient", "seed", "elu_alpha"]

# Columns of `Records.about` that together are what a model cost.
STAGES_OF_TIME = ("seconds_autoencoder", "seconds_lstm", "seconds_fine-tuning")

STFT = {"training_loss": "STFT", "activation": PAPER_ACTIVATIONS}
FLOW = {"gradient": "flow", "activation": PAPER_ACTIVATIONS}
AS_PUBLISHED = {"gradient": "cut"}


def select(frame: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows whose columns have the given values (or one of a tuple of them)."""
    wanted = {name: value if isinstance(value, tuple) else (value,) for name, value in where.items()}
    if not frame.empty:  # one without rows may have no columns either
        columns = {"elu_alpha": (1.0,)} | wanted
        frame = frame[np.logical_and.reduce([frame[column].isin(values) for column, values in columns.items()])]
    if frame.empty:
        words = (f"{name.replace('_', ' ')} {' or '.join(map(str, values))}" for name, values in wanted.items())
        raise Untestable(f"no finished model with {', '.join(words)}")
    return frame


def loss_curves(records: Records, stage: str, **where: object) -> pd.DataFrame:
    """Return the loss of a stage: a row for each model (`KINDS`), a column for each epoch."""
    return select(records.history, stage=stage, **where).pivot(index=KINDS, columns="epoch", values="loss")


def last_epochs(losses: pd.DataFrame) -> pd.Series:
    """Return the last epoch of each curve: not all models of a profile run equally long."""
    from_the_last = losses.notna().to_numpy()[:, ::-1]
    return pd.Series(losses.columns[::-1][from_the_last.argmax(axis=1)], losses.index)


def require_epochs(losses: pd.DataFrame, epochs: int) -> pd.DataFrame:
    """Return the curves that run for so many epochs."""
    last = last_epochs(losses)
    if last.max() < epochs:
        raise Untestable(f"needs {epochs} epochs, these models ran {last.max()}")
    return losses[last >= epochs]


def require_sets(values: pd.Series, sets: tuple[str, ...]) -> pd.Series:
    """Return the values if every set has some: a statement on all sets is not tested by a part of them."""
    missing = [name for name in sets if name not in values.index.get_level_values("instruments")]
    if missing:
        raise Untestable(f"no pair of models, or no model, of {', '.join(missing)}")
    return values


def final_loss(losses: pd.DataFrame) -> pd.Series:
    """Return the mean of each curve over the last tenth of its epochs, since one epoch may be an outlier."""
    losses = require_epochs(losses, 1)
    last = last_epochs(losses)
    begins = last - np.maximum(1, last / 10)
    late = losses.columns.to_numpy() > begins.to_numpy()[:, None]
    return losses.where(late).mean(axis=1)


def epochs_until(losses: pd.DataFrame, level: pd.Series | float) -> pd.Series:
    """Return the first epoch at which each model is down to `level`; one past the last if it never is."""
    reached = losses.drop(columns=0, errors="ignore").le(level, axis=0)
    return reached.idxmax(axis=1).where(reached.any(axis=1), last_epochs(losses) + 1)


def mean_grades(records: Records, **where: object) -> pd.Series:
    """Return the mean grade of each model's notes, from 0 ("-") to 5 ("++")."""
    notes = select(records.quality, **where)
    return notes.grade.map(SCORES).groupby([notes[kind] for kind in KINDS]).mean()


def facts(records: Records, column: str, *more: str) -> pd.Series:
    """Return a column of `Records.about`, of the models whose gradient flows, by `KINDS` and more columns."""
    known = select(records.about, **FLOW)
    if column not in known:
        raise Untestable(f"{column} is not on record")
    return known.set_index([*KINDS, *more])[column].dropna()


def training_seconds(records: Records) -> pd.Series:
    """Return what the training of each model took in all, by `KINDS` and device."""
    return sum(facts(records, stage, "device") for stage in STAGES_OF_TIME)


def seconds_beside_stft(records: Records, loss: str) -> tuple[pd.Series, pd.Series]:
    """Return the training seconds of each model of a loss, and the STFT's on the same device (geometric mean of seeds).

    A seed changes the weights that training begins with, not the time it takes, so the seeds need not be the same.
    """
    logs = np.log(training_seconds(records)).unstack("training_loss").reindex(columns=[loss, "STFT"])
    alike = [name for name in logs.index.names if name != "seed"]
    logs["STFT"] = logs["STFT"].groupby(alike).transform("mean")
    known = np.exp(logs.dropna()).droplevel("device")
    if known.empty:
        raise Untestable(f"no models of {loss} and STFT that were trained on the same device")
    return known[loss], known["STFT"]


def pairs(values: pd.DataFrame, column: str, one: object, other: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the models of two kinds that agree in all but `column`, in the same order.

    They agree in the seed too, and so start from the same weights (but for the spread that an activation itself makes).
    """
    kind = values.index.get_level_values(column)
    first, second = (values[kind == which].droplevel(column) for which in (one, other))
    both = first.index.intersection(second.index)
    if both.empty:
        raise Untestable(f"no pair of {one} and {other}")
    return first.loc[both], second.loc[both]
