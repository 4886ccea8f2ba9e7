"""Effects: what a claim measures over the models, its 95 % interval, and the verdict that follows from both.

A claim (`singlib.claims`) draws one value from each model or pair of models, by the selections below, and
`judge` sets their mean and its interval against a bar. Selections leave out ELU with an a other than 1,
unless they are asked for it, and raise `Untestable` where the records hold nothing to measure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.stats

from .quality import SCORES
from .records import Records

VERDICTS = ("holds", "does not hold", "undecided", "cannot be tested")
# Below this many values the percentile bootstrap is too narrow (the range of n values has the median between them
# in 1 - 2^(1 - n) of the cases: 50 % for two), and Student's t takes its place.
FEW = 5
# What tells one model from another: the index of everything that is selected here.
KINDS = ["instruments", "activation", "training_loss", "gradient", "seed", "elu_alpha"]

# Columns of `Records.about` that together are what a model cost.
STAGES_OF_TIME = ("seconds_autoencoder", "seconds_lstm", "seconds_fine-tuning")


class Untestable(Exception):
    """These records cannot test a claim; the message says why."""


@dataclass(frozen=True)
class Effect:
    """The size of an effect and what it says about the claim.

    Attributes
    ----------
    size, lowest, highest : float
        The effect and its 95 % interval, in `unit`; NaN where there is none.
    models : int
        Number of models, or pairs of models, that it rests on.
    unit : str
        For example "% of the loss", "grades", "epochs".
    verdict : str
        One of `VERDICTS`.
    reason : str
        Why it is no plain yes or no, or what the interval leaves out; may be empty.
    leans : bool
        Whether the size itself lies on the statement's side, however wide the interval.
    """

    size: float
    lowest: float
    highest: float
    models: int
    unit: str
    verdict: str
    reason: str = ""
    leans: bool = False


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
    """

    key: str
    place: str
    statement: str
    effect: str
    measure: Callable[[Records], Effect]
    ours: bool = False

    @property
    def figures(self) -> list[int]:
        """The numbers of the paper's figures that the statement is about: 1, 2, 3 and 7 of "Figs. 1-3, 7"."""
        spans = re.findall(r"(\d+)(?:-(\d+))?", self.place.partition("Fig")[2])
        return [number for first, last in spans for number in range(int(first), int(last or first) + 1)]


def claims_of(*rows: tuple, ours: bool = False) -> tuple[Claim, ...]:
    """Make claims of rows of key, place, statement, effect, and the function (with its arguments) that measures it."""
    return tuple(Claim(*row[:4], lambda records, row=row: row[4](records, *row[5:]), ours) for row in rows)


def decide(
    size: float, interval: tuple[float, float], models: int, unit: str, above: float = -np.inf, below: float = np.inf
) -> Effect:
    """Return the effect with its verdict: does the whole interval lie between the bars, or outside them?"""
    low, high = (float(end) for end in interval)
    verdict, reason = "undecided", ""
    if low > above and high < below:
        verdict = "holds"
    elif high < above or low > below:
        verdict = "does not hold"
    else:
        bars = " and ".join(f"{bar:g}" for bar in (above, below) if np.isfinite(bar))
        reason = f"the interval reaches over the bar of {bars}"
    return Effect(float(size), low, high, models, unit, verdict, reason, bool(above < size < below))


def judge(
    values: pd.Series,
    unit: str,
    above: float = -np.inf,
    below: float = np.inf,
    statistic: Callable[..., float] = np.mean,
    of: str = "pair",
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Effect:
    """Judge a claim by one value of each model or pair.

    Parameters
    ----------
    values : Series or array
        One value of each, in `unit`; NaN is left out.
    unit : str
        Their unit.
    above, below : float
        The bars: the claim says that the statistic lies between them.
    statistic : callable
        Over the values; ``np.max`` for claims on every model.
    of : str
        What a value stands for: "pair", "model", "note".
    within : tuple of float
        What a value can be: the interval ends there.

    Returns
    -------
    Effect
        With the percentile bootstrap over the values (B. Efron, 1979; 2,000 resamples), Student's t below
        `FEW` of them, and no interval for a single one.

    Raises
    ------
    Untestable
        If there is no value.
    """
    found = np.asarray(values, float)
    found = found[~np.isnan(found)]
    if not len(found):
        raise Untestable(f"no {of} to measure")
    size = float(statistic(found))
    if len(found) == 1:
        leans = bool(above < size < below)
        return Effect(size, np.nan, np.nan, 1, unit, "undecided", f"one {of} has no interval", leans)
    low = high = size
    if np.ptp(found) > 0 and len(found) < FEW and statistic is np.mean:
        low, high = np.clip(scipy.stats.t.interval(0.95, len(found) - 1, size, scipy.stats.sem(found)), *within)
    elif np.ptp(found) > 0:
        drawn = scipy.stats.bootstrap((found,), statistic, n_resamples=2000, method="percentile", rng=0, batch=100)
        low, high = drawn.confidence_interval
    return decide(size, (low, high), len(found), unit, above, below)


def over_notes(values: pd.Series, unit: str, above: float = -np.inf, below: float = np.inf, of: str = "pair") -> Effect:
    """Judge a claim on a single model, or `of` models, by its notes; the reason says what that leaves open."""
    effect = judge(values, unit, above, below, of="note")
    reason = f"the interval is over {effect.models} notes of one {of}: another seed may differ"
    return replace(effect, models=1, reason="; ".join(filter(None, (effect.reason, reason))))


def almost_all(wins: pd.Series, negate: bool = False) -> Effect:
    """Judge whether something is so in almost all pairs, with Wilson's interval of a proportion (1927).

    It is, if it surely is in more than half of them: in 9 of 10 pairs at the least. It is not, if it
    surely is in fewer than nine in ten: in 7 of 10 at the most. With `negate` the claim is that it is not.
    """
    counted = scipy.stats.binomtest(int(wins.sum()), len(wins))
    low, high = counted.proportion_ci(method="wilson")
    verdict, reason = "undecided", "neither more than half nor fewer than nine in ten for sure"
    if high < 0.9 or low > 0.5:
        verdict, reason = "holds" if (high >= 0.9) != negate else "does not hold", ""
    size, leans = 100 * counted.statistic, (counted.statistic >= 0.9) != negate
    return Effect(size, 100 * low, 100 * high, len(wins), "% of the pairs", verdict, reason, leans)


def rank_correlation(of: pd.Series, against: pd.Series, less: pd.Series | None = None) -> tuple[float, np.ndarray, int]:
    """Correlate two values of each model by rank (Spearman), or tell two such correlations apart.

    Parameters
    ----------
    of, against : Series
        A value of each model; models without both are left out.
    less : Series, optional
        Another value of each, whose correlation with `against` is taken away.

    Returns
    -------
    tuple of float, ndarray of shape (2,), int
        The correlation, its 95 % interval (2,000 resamples of the models), and the number of models.

    Raises
    ------
    Untestable
        If there are fewer than `FEW` models, or all of a kind.
    """
    table = pd.concat([of, against] if less is None else [of, against, less], axis=1, join="inner")
    if len(table) < FEW or (table.nunique() < 2).any():
        raise Untestable(f"needs {FEW} models that differ, has {len(table)}")

    def correlation(rows: np.ndarray) -> np.ndarray:
        ranks = scipy.stats.rankdata(rows, axis=-2)
        ranks -= ranks.mean(axis=-2, keepdims=True)
        norms = np.sqrt(np.square(ranks).sum(axis=-2))
        with np.errstate(invalid="ignore"):  # a resample of one model only has no ranks
            each = [(ranks[..., 1] * ranks[..., i]).sum(-1) / norms[..., 1] / norms[..., i] for i in (0, -1)]
        return each[0] if less is None else each[0] - each[1]

    draw = np.random.default_rng(0).integers(0, len(table), (2000, len(table)))
    interval = np.nanquantile(correlation(table.to_numpy()[draw]), [0.025, 0.975])
    return float(correlation(table.to_numpy())), interval, len(table)


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


def lower(one: pd.Series, other: pd.Series) -> pd.Series:
    """Return by how much the first lies below the second, in % of the second."""
    return 100 * (other - one) / other
