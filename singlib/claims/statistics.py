"""What a claim measures, its 95 % interval, and the verdict that follows from both.

`judge` sets the mean of one value of each model or pair of models against a bar. Sets of instruments are weighed alike,
however many seeds each has. Intervals are Student's t: from 5 values the percentile bootstrap covers 84 % where 95 % is
said, from 10 89 %. Only rank correlations, which have no t, are bootstrapped, with bias corrected and accelerated
(B. Efron, 1987).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.stats

VERDICTS = ("holds", "does not hold", "undecided", "cannot be tested")
FEW = 5  # models that a rank correlation needs


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
    p : float
        The largest level at which the interval would still reach over the bar; NaN where there is no interval.
    by_set : str
        The size in each set of instruments and its number of models or pairs, where there are several sets.
    """

    size: float
    lowest: float
    highest: float
    models: int
    unit: str
    verdict: str
    reason: str = ""
    leans: bool = False
    p: float = np.nan
    by_set: str = ""


def decide(
    size: float,
    interval: tuple[float, float],
    models: int,
    unit: str,
    above: float = -np.inf,
    below: float = np.inf,
    p: float = np.nan,
) -> Effect:
    """Return the effect with its verdict: does the whole interval lie between the bars, or outside them?"""
    low, high = (float(end) for end in interval)
    verdict, reason = "undecided", ""
    if low > above and high < below:
        verdict = "holds"
    elif high <= above or low >= below:
        verdict = "does not hold"
    else:
        bars = " and ".join(f"{bar:g}" for bar in (above, below) if np.isfinite(bar))
        reason = f"the interval reaches over the bar of {bars}"
    return Effect(float(size), low, high, models, unit, verdict, reason, bool(above < size < below), p)


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard error and degrees of freedom."""
    error = scipy.stats.sem(values) if np.ptp(values) > 0 else 0.0
    return float(values.mean()), float(error), len(values) - 1.0


def _interval(size: float, error: float, freedom: float) -> tuple[float, float]:
    reach = scipy.stats.t.ppf(0.975, freedom) * error if error else 0.0
    return size - reach, size + reach


def _level(size: float, error: float, freedom: float, above: float, below: float) -> float:
    """Return the largest level at which the interval reaches over the nearest bar that decides."""
    bars = [bar for bar in (above, below) if np.isfinite(bar)]
    if not bars:
        return float("nan")
    if not above < size < below:  # outside: the bar that it is beyond
        bars = [above if size <= above else below]
    if not error:
        return 0.0
    return float(max(2 * scipy.stats.t.sf(abs(size - bar) / error, freedom) for bar in bars))


def _over_sets(values: pd.Series) -> tuple[float, float, float]:
    """Return mean over sets, standard error and degrees of freedom, of values indexed by `KINDS`.

    Sets weigh alike, and so do the kinds of models in a set. Where each kind has several models, the error is theirs:
    the sets are as given (degrees of freedom after B. L. Welch, 1947). Where one has a single model, nothing is known
    of its spread, and the sets are taken for a sample of sets.
    """
    kinds = values.groupby([name for name in values.index.names if name != "seed"], sort=False)
    means = kinds.mean()
    of_sets = means.groupby("instruments", sort=False)
    if kinds.size().min() < 2 and of_sets.ngroups > 1:
        return _mean(of_sets.mean().to_numpy())
    if kinds.size().min() < 2:
        return _mean(values.to_numpy())
    weights = 1 / of_sets.transform("size") / of_sets.ngroups
    parts = weights**2 * kinds.var() / kinds.size()
    total = parts.sum()
    freedom = total**2 / (parts**2 / (kinds.size() - 1)).sum() if total else np.inf
    return float((weights * means).sum()), float(np.sqrt(total)), float(freedom)


def judge(
    values: pd.Series,
    unit: str,
    above: float = -np.inf,
    below: float = np.inf,
    of: str = "pair",
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Effect:
    """Judge a claim by the mean of one value of each model or pair.

    Parameters
    ----------
    values : Series or array
        One value of each, in `unit`; NaN is left out. Where a Series is indexed by several sets of instruments, sets
        weigh alike, not models: ten seeds of keys do not outvote a set that was trained once.
    unit : str
        Their unit.
    above, below : float
        The bars: the claim says that the mean lies between them.
    of : str
        What a value stands for: "pair", "model", "instrument".
    within : tuple of float
        What a value can be: the interval ends there.

    Returns
    -------
    Effect
        With Student's t interval; none for a single value.

    Raises
    ------
    Untestable
        If there is no value.
    """
    values = pd.Series(values, dtype=float).dropna()
    if not len(values):
        raise Untestable(f"no {of} to measure")
    if len(values) == 1:
        size, reason = float(values.iloc[0]), f"one {of} has no interval"
        return Effect(size, np.nan, np.nan, 1, unit, "undecided", reason, bool(above < size < below))
    sets = values.groupby("instruments", sort=False) if "instruments" in values.index.names else None
    several = sets is not None and sets.ngroups > 1
    found = _over_sets(values) if sets is not None else _mean(values.to_numpy())
    low, high = np.clip(_interval(*found), *within)
    effect = decide(found[0], (low, high), len(values), unit, above, below, _level(*found, above, below))
    told = "; ".join(f"{name} {part.mean():.3g} ({len(part)})" for name, part in sets) if several else ""
    return replace(effect, by_set=told)


def judge_largest(values: pd.Series, unit: str, below: float, of: str = "model") -> Effect:
    """Judge a claim on each and every model by the largest value: it needs no interval, but says how many it is of.

    Raises
    ------
    Untestable
        If there is no value.
    """
    values = pd.Series(values, dtype=float).dropna()
    if not len(values):
        raise Untestable(f"no {of} to measure")
    good = int((values < below).sum())
    verdict, reason = ("holds" if good == len(values) else "does not hold"), f"{good} of {len(values)} {of}s"
    return Effect(float(values.max()), np.nan, np.nan, len(values), unit, verdict, reason, good == len(values))


def judge_almost_all(wins: pd.Series, negate: bool = False) -> Effect:
    """Judge whether something is so in almost all pairs, with Wilson's interval of a proportion (1927).

    It is, if it surely is in more than half of them: in 9 of 10 pairs at the least. It is not, if it
    surely is in fewer than nine in ten: in 7 of 10 at the most. With `negate` the claim is that it is not.
    """
    counted = scipy.stats.binomtest(int(wins.sum()), len(wins))
    low, high = counted.proportion_ci(method="wilson")
    verdict, reason = "undecided", "neither more than half nor fewer than nine in ten for sure"
    if high < 0.9 or low > 0.5:
        verdict, reason = "holds" if (high >= 0.9) != negate else "does not hold", ""
    share = counted.statistic
    # Wilson's interval turns the score test round: its level is that of the bar which decides.
    levels = [
        2 * scipy.stats.norm.sf(side * (share - bar) / np.sqrt(bar * (1 - bar) / len(wins)))
        for side, bar in ((1, 0.5), (-1, 0.9))
    ]
    level = float(min(1.0, levels[1] if high < 0.9 else levels[0]))
    leans = (share >= 0.9) != negate
    return Effect(100 * share, 100 * low, 100 * high, len(wins), "% of the pairs", verdict, reason, leans, level)


def judge_rank_correlation(of: pd.Series, against: pd.Series, below: float, less: pd.Series | None = None) -> Effect:
    """Correlate two values of each model by rank (Spearman), or tell two such correlations apart.

    Parameters
    ----------
    of, against : Series
        A value of each model; models without both are left out.
    below : float
        The bar: the claim says that the correlation lies below it.
    less : Series, optional
        Another value of each, whose correlation with `against` is taken away.

    Returns
    -------
    Effect
        With its interval over models: bootstrap, bias corrected and accelerated, 2,000 resamples.

    Raises
    ------
    Untestable
        If there are fewer than `FEW` models, or all of a kind.
    """
    table = pd.concat([of, against] if less is None else [of, against, less], axis=1, join="inner")
    if len(table) < FEW or (table.nunique() < 2).any():
        raise Untestable(f"needs {FEW} models that differ, has {len(table)}")

    def correlation(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        ranks = [scipy.stats.rankdata(column, axis=axis) for column in columns]
        ranks = [rank - rank.mean(axis=axis, keepdims=True) for rank in ranks]
        norms = [np.sqrt(np.square(rank).sum(axis=axis)) for rank in ranks]
        with np.errstate(invalid="ignore"):  # a resample of one model only has no ranks
            each = [(ranks[1] * ranks[i]).sum(axis) / norms[1] / norms[i] for i in (0, -1)]
        return np.nan_to_num(each[0] if less is None else each[0] - each[1])

    columns = tuple(table.to_numpy().T)
    size = float(correlation(*columns))
    drawn = scipy.stats.bootstrap(
        columns, correlation, paired=True, vectorized=True, n_resamples=2000, method="BCa", rng=0
    )

    def interval(level: float) -> tuple[float, float]:
        again = {"paired": True, "vectorized": True, "n_resamples": 0, "method": "BCa", "bootstrap_result": drawn}
        return tuple(
            scipy.stats.bootstrap(columns, correlation, confidence_level=1 - level, **again).confidence_interval
        )

    def reaches_over(level: float) -> bool:
        low, high = interval(level)
        return low <= below <= high

    levels = np.geomspace(5e-4, 1, 200, endpoint=False)  # 2,000 resamples tell no smaller one
    place = bisect.bisect_left(levels, True, key=lambda level: not reaches_over(level))
    return decide(size, interval(0.05), len(table), "rank correlation", below=below, p=float([*levels, 1.0][place]))


def holm(checked: pd.DataFrame, level: float = 0.05) -> pd.Series:
    """Return the verdicts that stand when all are to be right together (S. Holm, 1979); the others are undecided.

    Of many statements that are each tested at 95 %, one in twenty would be decided by chance alone.
    """
    tested = checked.p.dropna().sort_values(kind="stable")
    stands = tested <= level / np.arange(len(tested), 0, -1)
    sure = tested.index[: int(stands.cumprod().sum())]
    open_to_chance = checked.index.isin(tested.index) & ~checked.index.isin(sure)
    return checked.verdict.mask(open_to_chance, "undecided")
