"""What a claim is, the decorator that makes one, and `check`, which tests claims on the records of a profile."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial

import numpy as np
import pandas as pd

from ..runs.records import Records
from .statistics import Effect, Untestable, holm

Measure = Callable[..., Effect]  # of records, and of what the claim is about; raises `Untestable`

# Rules that were changed after records of a grid with many updates had come in, the last three after recorded's, too.
_SETS = "all sets of instruments have the same weight; before, it was the mean over all pairs, most of them of keys"
REVISED = {
    "the plateau is searched for; before, it was taken to be epochs 5 to 25, and the fall 25 to 45": (
        "elu-plateau relu-plateau"
    ),
    "added after seed 100, which the grid does not use, had been seen: it comes down after 2 epochs, too soon for "
    "the bar of 'elu-joins'": "elu-starts-above-relu elu-joins-relu",
    "only models trained for as many epochs, or as many updates, are compared": "several-sound-better",
    "of several comparisons, all of which are to come out so, each is judged; before, their mean, or the one with the "
    "smallest mean alone": "stft-moves-mfc stft-moves-cqt brass-relu-best-with-five",
    "only models of one set and of the STFT are compared; before, those of three losses were pooled, which differ in "
    "both the loss and the grade": "lstm-goes-with-grade lstm-matters-most",
    f"a doubling of the cost counts as one grade; {_SETS}": "mfc-sounds-better-at-cost cqt-sounds-better-at-cost",
    "the interval is over models; before, it was over notes": (
        "brass1-elu-low brass-elu-worse-with-five brass-relu-best-with-five keys-velocity-not-heard"
    ),
    _SETS: "relu-sounds-better elu-medium relu-high relu-pitch mfc-trains cqt-trains mfc-sounds-better "
    "cqt-sounds-better mfc-costs-more cqt-costs-more mfc-own-lower cqt-own-lower corrected-relu-sounds-better "
    "cqt-lowers-stft-faster mfc-lowers-stft-faster elu-fewer-epochs elu-less-time elu-costs-more elu-nearer-zero "
    "brass-autoencoder brass-lstm brass-fine-tuning brass-several-high several-sound-better",
    "only models that differ in nothing but the seed are compared; before, ReLU and ELU were pooled, between which all "
    "losses and the grade differ; and the interval is wider, for the means over seeds that are taken out": (
        "lstm-goes-with-grade mfc-lstm-goes-with-grade cqt-lstm-goes-with-grade lstm-matters-most"
    ),
    "it is asked whether a doubling of the cost counts as one grade or as none; before, as one": (
        "mfc-sounds-better-at-cost cqt-sounds-better-at-cost mrstft-sounds-better-at-cost"
    ),
    "a model's time is set beside the mean of the STFT's on the same device; before, beside that of the same seed": (
        "mfc-sounds-better-at-cost cqt-sounds-better-at-cost mrstft-sounds-better-at-cost mfc-costs-more "
        "cqt-costs-more mrstft-costs-more"
    ),
    "the interval is exact; before, it was Wilson's, which with few pairs rests on too few to be normal": (
        "elu-ends-lower-stft elu-not-lower-mfc"
    ),
    "each of the two ways of holding out is judged; before, notes of both were pooled, most of them beyond": (
        "unseen-pitches"
    ),
    "the strengths of both correlations are compared; before, their signs counted": "lstm-matters-most",
    "ratios are averaged as logarithms; before, as percentages, of which one large ratio outweighs all others": (
        "elu-starts-higher stft-moves-mfc stft-moves-cqt elu-starts-above-relu lstm-relu-falls lstm-relu-ends-lower "
        "fine-tuning-elu-starts-lower fine-tuning-relu-rises three-autoencoder three-lstm three-fine-tuning "
        "brass-autoencoder brass1-autoencoder brass-lstm brass-fine-tuning mfc-trains cqt-trains mfc-costs-more "
        "cqt-costs-more mfc-own-lower cqt-own-lower cqt-lowers-stft-faster mfc-lowers-stft-faster elu-less-time "
        "elu-costs-more alpha-10-ends-higher"
    ),
}


@dataclass(frozen=True)
class Claim:
    """A statement and how it is tested."""

    key: str  # a slug, unique
    place: str  # section and figures of the paper: "3.1, Fig. 1"
    statement: str  # in our words
    effect: str  # what is measured, and what makes the statement true
    measure: Measure  # of records alone
    ours: bool = False  # whether it is about an experiment of ours rather than one of the authors'
    # What tells its models from others, by fields of a `Cell`, where not every grid has such models.
    models: Mapping[str, object] = field(default_factory=dict)

    def asked_of(self, records: Records) -> bool:
        """Return whether the grid of a profile has models that the statement is about, trained or not."""
        return any(all(getattr(cell, key) == value for key, value in self.models.items()) for cell in records.grid)

    @property
    def revised(self) -> str:
        """How its rule was changed once records had come in; empty if it was not."""
        return "; ".join(why for why, keys in REVISED.items() if self.key in keys.split())

    @property
    def experiment(self) -> str:
        """The table of the experiment beside the grid that it rests on (`singlib.claims.questions`); else empty."""
        return getattr(self.measure.func, "table", "")

    @property
    def figures(self) -> list[int]:
        """The numbers of the paper's figures that the statement is about: 1, 2, 3 and 7 of "Figs. 1-3, 7"."""
        spans = re.findall(r"(\d+)(?:-(\d+))?", self.place.partition("Fig")[2])
        return [number for first, last in spans for number in range(int(first), int(last or first) + 1)]


CLAIMS: list[Claim] = []


def claim(
    key: str,
    place: str,
    statement: str,
    ours: bool = False,
    models: Mapping[str, object] | None = None,
    **arguments: object,
) -> Callable[[Measure], Measure]:
    """Make a claim of the function that measures it, and add it to `CLAIMS`.

    The first paragraph of the function's docstring is the claim's `effect`: {name} in it stands for one of `arguments`,
    which the function is called with, or for a constant of its module. A comparison reads "How far A ends below B; more
    than 0.", so that the report can tell it the way it came out. Claims that share a measure stack their decorators.
    """
    number = len(CLAIMS)
    CLAIMS.append(None)  # stacked decorators are evaluated from the top, but applied from the bottom

    def register(measure: Measure) -> Measure:
        summary = inspect.getdoc(measure).partition("\n\n")[0].replace("\n", " ")
        effect = summary.format(**measure.__globals__ | arguments)
        CLAIMS[number] = Claim(key, place, statement, effect, partial(measure, **arguments), ours, models or {})
        return measure

    return register


def check(records: Records, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Test claims (all by default, the paper's before ours) on the records of one profile, of which any may be empty.

    Those that the profile's grid has no models for, trained or not, are left out.

    Returns
    -------
    DataFrame
        A row for each claim: ``key``, ``place``, ``statement``, ``effect`` and ``revised`` of the `Claim`; the
        attributes of the `Effect`; ``holm``, the verdict when all are to be right together (see `holm`), those on
        experiments by themselves; and the ``regime`` of the models. The same records give the same numbers.
    """
    rows = []
    for one in claims:
        if not one.asked_of(records):
            continue
        try:
            effect = one.measure(records)
        except Untestable as why:
            effect = Effect(np.nan, np.nan, np.nan, 0, "", "cannot be tested", str(why))
        about = {"revised": one.revised, "regime": effect.regime or records.profile.regime}
        rows.append(vars(one) | asdict(effect) | about)
    of_effect = [one.name for one in fields(Effect) if one.name != "regime"]
    columns = ["key", "place", "statement", "effect", *of_effect, "holm", "revised", "regime"]
    checked = pd.DataFrame(rows, columns=columns)
    beside = checked.key.isin([one.key for one in claims if one.experiment])
    return checked.assign(holm=pd.concat([holm(checked[~beside]), holm(checked[beside])]))  # in the order of the index
