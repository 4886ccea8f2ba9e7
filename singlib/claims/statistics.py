"""What a claim measures, its 95 % interval, and the verdict that follows from both.

`judge` sets the mean of one value of each model or pair of models against a bar. Intervals are Student's t: from 5
values the percentile bootstrap covers 84 % where 95 % is said, from 10 89 %. Ratios are averaged as logarithms. Only
rank correlations, which have no t, are bootstrapped, with bias corrected and accelerated (B. Efron, 1987).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.stats

VERDICTS = ("holds", "does not hold", "undecided", "cannot be tested")
FEW = 5  # models, or entries of a table, that a rank correlation needs
LEVEL = 0.05  # of a verdict: an interval misses so often


class Untestable(Exception):
    """These records cannot test a claim; the message says why."""


@dataclass(frozen=True)
class Percent:
    """What a percentage says of a ratio: how far one value lies above another, or below it.

    Percentages are averaged as the logarithms of their ratios, since twice as much and half as much are equally far.
    """

    sign: int

    def of(self, one: pd.Series, other: pd.Series) -> pd.Series:
        """Return how far the first lies above (below) the second, in % of the second."""
        return self.sign * 100 * (one - other) / other

    def log(self, percent: pd.Series | float) -> pd.Series | float:
        """Return the logarithm of the ratio, or its negative: the larger the percentage, the larger it is."""
        return self.sign * np.log1p(self.sign * percent / 100)

    def percent(self, log: float) -> float:
        """Return the percentage that has this logarithm."""
        return self.sign * 100 * np.expm1(self.sign * log)


ABOVE, BELOW = Percent(1), Percent(-1)


@dataclass(frozen=True)
class Effect:
    """The size of an effect and what it says about the claim."""

    size: float  # in `unit`
    lowest: float  # its 95 % interval, from here; NaN where there is none
    highest: float  # to here
    models: int  # number of models, of pairs of models, or of instruments, that it rests on
    unit: str  # "% of the loss", "grades", "epochs"
    verdict: str  # one of `VERDICTS`
    reason: str = ""  # why it is no plain yes or no, or what the interval leaves out
    leans: bool = False  # whether the size itself lies on the statement's side, however wide the interval
    p: float = np.nan  # the largest level at which the interval would still reach over the bar; NaN without an interval
    over: str = ""  # what the interval is over: "models", "pairs", or "sets", taken for a sample of all sets
    by_set: str = ""  # the size in each set of instruments and its number of models or pairs, where there are several
    regime: str = ""  # of its models, if they are not those of a profile


def judge_interval(size: float, interval: tuple[float, float], above: float, below: float, **more: object) -> Effect:
    """Judge a claim by an interval: does all of it lie between the bars, or outside them? `more` goes to the effect."""
    low, high = (float(end) for end in interval)
    verdict, reason = "undecided", ""
    if low > above and high < below:
        verdict = "holds"
    elif high <= above or low >= below:
        verdict = "does not hold"
    else:
        bars = " and ".join(f"{bar:g}" for bar in (above, below) if np.isfinite(bar))
        reason = f"the interval reaches over the bar of {bars}"
    return Effect(float(size), low, high, verdict=verdict, reason=reason, leans=bool(above < size < below), **more)


def mean_and_error(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard error (0 if all are equal) and degrees of freedom."""
    error = scipy.stats.sem(values) if np.ptp(values) > 0 else 0.0
    return float(values.mean()), float(error), len(values) - 1.0


def mean_over_sets(values: pd.Series) -> tuple[float, float, float, bool]:
    """Return mean over sets, standard error, degrees of freedom, of values indexed by `KINDS`; and if it is over sets.

    Sets weigh alike, and so do the kinds of models in a set. Where each kind has several models, the error is theirs:
    the sets are as given (degrees of freedom after B. L. Welch, 1947). Where one has a single model, nothing is known
    of its spread, and the sets are taken for a sample of sets. Values without a set are all of one kind.
    """
    if "instruments" not in values.index.names:
        return *mean_and_error(values.to_numpy()), False
    kinds = of_kinds(values)
    means, counts = kinds.mean(), kinds.size()
    of_sets = means.groupby("instruments", sort=False)
    if counts.min() < 2:
        several = of_sets.ngroups > 1
        return *mean_and_error((of_sets.mean() if several else means).to_numpy()), several
    weights = 1 / of_sets.transform("size") / of_sets.ngroups
    parts = weights**2 * kinds.var() / counts
    total = parts.sum()
    freedom = total**2 / (parts**2 / (counts - 1)).sum() if total else np.inf
    return float((weights * means).sum()), float(np.sqrt(total)), float(freedom), False


def of_kinds(values: pd.Series) -> pd.api.typing.SeriesGroupBy:
    """Group values that are indexed by `KINDS` so that those of a group differ in the seed alone."""
    return values.groupby([name for name in values.index.names if name != "seed"], sort=False)


def drop_missing(values: pd.Series, of: str) -> pd.Series:
    """Return the values that are numbers; Untestable if there is none."""
    values = pd.Series(values, dtype=float).dropna()
    if values.empty:
        raise Untestable(f"no {of} to measure")
    return values


def judge(
    values: pd.Series,
    unit: str,
    above: float = -np.inf,
    below: float = np.inf,
    of: str = "pair",
    within: tuple[float, float] = (-np.inf, np.inf),
    ratio: Percent | None = None,
) -> Effect:
    """Judge a claim by the mean of one value of each model or pair, with Student's t interval; a single one has none.

    Parameters
    ----------
    values : Series or array
        One value of each; NaN is left out. Where a Series is indexed by several sets of instruments, sets weigh alike,
        not models: ten seeds of keys do not outvote a set that was trained once.
    unit : str
        Of the values.
    above, below : float
        The bars: the claim says that the mean lies between them.
    of : str
        What a value stands for: "pair", "model", "instrument".
    within : tuple of float
        What a value can be: the interval ends there.
    ratio : Percent, optional
        For percentages that lie above or below another value: `ABOVE` or `BELOW`.

    Raises
    ------
    Untestable
        If there is no value.
    """
    log, back = (ratio.log, ratio.percent) if ratio else (lambda value: value,) * 2
    values = log(drop_missing(values, of))
    more = {"models": len(values), "unit": unit}
    if np.isinf(values).any():
        size = float(back(values.mean()))
        return Effect(size, np.nan, np.nan, **more, verdict="undecided", reason=f"a {of} diverged: it has no interval")
    mean, error, freedom, over_sets = mean_over_sets(values)
    size = float(back(mean))
    if not error:
        return without_interval(size, above < size < below, of, **more)
    sets = list(values.groupby("instruments", sort=False)) if "instruments" in values.index.names else []
    by_set = [f"{name} {back(of_kinds(part).mean().mean()):.3g} ({len(part)})" for name, part in sets]
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    interval = np.clip((back(mean - reach), back(mean + reach)), *within)
    bars = (above, below) if above < size < below else (above if size <= above else below,)
    levels = (2 * scipy.stats.t.sf(abs(mean - log(bar)) / error, freedom) for bar in bars if np.isfinite(bar))
    more |= {"p": max(map(float, levels), default=0.0), "over": "sets" if over_sets else f"{of}s"}
    more["by_set"] = "; ".join(by_set) if len(sets) > 1 else ""
    return judge_interval(size, interval, above, below, **more)


def without_interval(size: float, holds: bool, of: str, models: int, unit: str) -> Effect:
    """Judge a claim by values without a spread: a single one decides nothing; several that are equal say it plainly."""
    verdict, reason = "undecided", f"one {of} has no interval"
    if models > 1:
        verdict = "holds" if holds else "does not hold"
        reason = f"all {models} are equal, so there is no interval"
    return Effect(size, np.nan, np.nan, models, unit, verdict, reason, bool(holds))


def judge_each(effects: Sequence[Effect], hardest: Callable[..., Effect] = min) -> Effect:
    """Judge a claim on several comparisons, each of which is to hold, and return the one that is hardest to hold.

    That is the smallest effect or, where the claim is that all are small, the largest (`max`), of those that do not
    hold, if there are any. The claim holds if each does. It does not hold if the hardest does not, at the level divided
    by how many there are (C. Bonferroni): the smallest of several effects is low by chance.
    """
    failing = [effect for effect in effects if effect.verdict != "holds"]
    worst = hardest(failing or effects, key=lambda effect: effect.size)
    if not failing:
        return replace(worst, p=max((effect.p for effect in effects if np.isfinite(effect.p)), default=np.nan))
    p = float(np.clip(len(effects) * worst.p, 0, 1))
    if worst.verdict == "does not hold" and not p > LEVEL:
        return replace(worst, p=p)
    reason = worst.reason or f"of {len(effects)} comparisons one is as far off by chance"
    return replace(worst, verdict="undecided", p=p, reason=reason)


def judge_largest(values: pd.Series, unit: str, below: float) -> Effect:
    """Judge a claim on each and every model by the largest value: it needs no interval, but says how many it is of."""
    values = drop_missing(values, "model")
    good = int((values < below).sum())
    verdict, reason = ("holds" if good == len(values) else "does not hold"), f"{good} of {len(values)} models"
    return Effect(float(values.max()), np.nan, np.nan, len(values), unit, verdict, reason, good == len(values))


def judge_almost_all(wins: pd.Series, negate: bool = False) -> Effect:
    """Judge whether something is so in almost all pairs, with the exact interval of C. J. Clopper and E. S. Pearson.

    It is, if it surely is in more than half of them: in 9 of 10 pairs at the least. It is not, if it
    surely is in fewer than nine in ten: in 6 of 10 at the most. With `negate` the claim is that it is not.
    """
    counted = scipy.stats.binomtest(int(wins.sum()), len(wins))
    share, (low, high) = counted.statistic, counted.proportion_ci(method="exact")
    verdict, reason = "undecided", "neither more than half nor fewer than nine in ten for sure"
    if high < 0.9 or low > 0.5:
        verdict, reason = "holds" if (high >= 0.9) != negate else "does not hold", ""
    # The interval turns the test of a bar round, each side at half the level: that of the bar which decides.
    bar, side = (0.9, "less") if high < 0.9 else (0.5, "greater")
    p = 2 * scipy.stats.binomtest(int(wins.sum()), len(wins), bar, side).pvalue
    percent = 100 * share, 100 * low, 100 * high
    return Effect(*percent, len(wins), "% of the pairs", verdict, reason, (share >= 0.9) != negate, float(min(1.0, p)))


def judge_rank_correlation(of: pd.Series, against: pd.Series, less: pd.Series | None = None, kinds: int = 1) -> Effect:
    """Judge whether two values of each model go against each other by rank (Spearman): whether they correlate below 0.

    With `less`, whether they correlate more strongly, up or down, than `less` and `against`. Models without all of the
    values are left out, and with fewer than `FEW`, or all of a kind, the claim is Untestable. The interval is over
    models: bootstrap, bias corrected and accelerated, 2,000 resamples; and, if the values are those less the means of
    so many `kinds`, wider by the root of n - 1 over n - kinds, since so many degrees of freedom are lost.
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
        return np.nan_to_num(each[0] if less is None else np.abs(each[0]) - np.abs(each[1]))

    columns = tuple(table.to_numpy().T)
    options = {"paired": True, "vectorized": True, "method": "BCa"}
    resampled = scipy.stats.bootstrap(columns, correlation, n_resamples=2000, rng=0, **options)

    size, wider = float(correlation(*columns)), np.sqrt((len(table) - 1) / (len(table) - kinds))

    def interval(level: float) -> tuple[float, float]:
        again = {"n_resamples": 0, "bootstrap_result": resampled, "confidence_level": 1 - level}
        ends = scipy.stats.bootstrap(columns, correlation, **again, **options).confidence_interval
        return tuple(np.clip([size + wider * (end - size) for end in ends], -1, 1))

    def misses(level: float) -> bool:
        low, high = interval(level)
        return not low <= 0 <= high

    levels = np.geomspace(5e-4, 1, 200, endpoint=False)  # 2,000 resamples tell no smaller one
    p = float([*levels, 1.0][bisect.bisect_left(levels, True, key=misses)])
    about = {"models": len(table), "unit": "rank correlation", "p": p, "over": "models"}
    bars = (-np.inf, 0) if less is None else (0, np.inf)
    return judge_interval(size, interval(LEVEL), *bars, **about)


def tau_interval(tau: float, pairs: int) -> tuple[float, float]:
    """Return the 95 % interval of Kendall's tau over so many pairs; NaN of fewer than `FEW`.

    After E. C. Fieller, H. O. Hartley and E. S. Pearson, "Tests for rank correlation coefficients", 1957: the inverse
    hyperbolic tangent has a variance of 0.437 / (n - 4). With Student's t in place of the normal distribution, it also
    covers where many values are equal, as grades are.
    """
    if pairs < FEW:
        return np.nan, np.nan
    middle = np.arctanh(np.clip(tau, -0.999, 0.999))  # finite where the orders are the same
    half = scipy.stats.t.ppf(1 - LEVEL / 2, pairs - 4) * np.sqrt(0.437 / (pairs - 4))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


def holm(checked: pd.DataFrame, level: float = LEVEL) -> pd.Series:
    """Return the verdicts that stand when all are to be right together (S. Holm, 1979); the others are undecided.

    Of many statements that are each tested at 95 %, one in twenty would be decided by chance alone.
    """
    tested = checked.p.dropna().sort_values(kind="stable")
    stand = int((tested <= level / np.arange(len(tested), 0, -1)).cumprod().sum())
    return checked.verdict.mask(checked.index.isin(tested.index[stand:]), "undecided")
