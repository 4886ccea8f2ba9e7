"""Claims on the questions that the paper left open, tested by the experiments of ``data/questions``.

They rest on the same models whatever profile is asked, and name the regime of these. The paper's four come first; ours
are what was expected of the experiments before they were run (``data/questions/README.md``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps

import pandas as pd

from ..files import project_folder
from ..grading.grades import SCORES
from ..grid import STAGES
from ..runs.records import Records
from .claim import CLAIMS, Claim, claim
from .statistics import ABOVE, BELOW, Effect, Untestable, judge, judge_each

ours = partial(claim, ours=True)

SHARE, GAP = "% of the trained notes' share", "% of the gap"  # units

PLAYED = 50  # % of the trained notes that a model must play at their pitch to say something of others
SELDOM, MORE_OFTEN, AS_OFTEN = 10, 20, 80  # % of the share of trained notes
GOOD = 2  # mean grade from which models say something of others
LARGER = 50  # % of ReLU's
HALF = 50  # % of the gap between ReLU and ELU
LEAD = 5  # % of ELU's loss
WORSE = 30  # % of the loss with a = 1
STEADY, LITTLE = 0.5, 0.3  # grades
RATES = {"paper": 3e-4, "best": 5e-3}  # of the regimes


def load(table: str, **where: object) -> pd.DataFrame:
    """Return the rows of an experiment whose columns have the given values; Untestable if there is none."""
    path = project_folder() / "data" / "questions" / f"{table}.parquet"
    if not path.is_file():
        script = table.removesuffix("-history").replace("-", "_")
        raise Untestable(f"no model is trained yet: data/questions/{script}.py does it")
    rows = pd.read_parquet(path)
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise Untestable(f"{path.name} has no model with {', '.join(f'{key} {value}' for key, value in where.items())}")
    return rows


def asked(table: str, *by: str, **where: object) -> Callable[[Callable[..., Effect]], Callable[..., Effect]]:
    """Have a measure take the rows of an experiment (see `load`) in place of records, and name their regime.

    `by` are columns that are to have the values of the claim's own arguments.
    """

    def decorate(measure: Callable[..., Effect]) -> Callable[..., Effect]:
        @wraps(measure)
        def of_records(records: Records, **arguments: object) -> Effect:
            rows = load(table, **where, **{column: arguments[column] for column in by})
            return replace(measure(rows, **arguments), regime="; ".join(rows.regime.unique()))

        of_records.table = table
        return of_records

    return decorate


def about(table: str) -> list[Claim]:
    """List the claims on an experiment."""
    return [claim for claim in CLAIMS if claim.experiment == table]


def shares(rows: pd.DataFrame, pitch_input: str, *held_out: str) -> pd.Series:
    """Return the share of each model's notes, held out in some ways, that sound at their own pitch, in %."""
    tracked = rows[(rows.input == pitch_input) & rows.held_out.isin(held_out) & (rows.heard != "not tracked")]
    return 100 * (tracked.heard == "its own").groupby([tracked.instruments, tracked.seed]).mean()


def of_trained(rows: pd.DataFrame, pitch_input: str, *held_out: str) -> pd.Series:
    """Return the share of held-out notes at their own pitch, in % of that of trained notes.

    Untestable if the models play fewer than `PLAYED` % of the trained ones at their pitch.
    """
    trained = shares(rows, pitch_input, "no")
    if trained.mean() < PLAYED or not trained.min():
        raise Untestable(f"of their trained notes the models play {trained.mean():.0f} % in tune, too few to say more")
    return 100 * shares(rows, pitch_input, *held_out) / trained


def column(models: pd.DataFrame, *kind: object) -> pd.Series | pd.DataFrame:
    """Return the values of a kind of models, a column for each kind; Untestable if none of it is trained yet."""
    key = kind if len(kind) > 1 else kind[0]
    if key not in models:
        raise Untestable(f"no model of the kind {', '.join(map(str, kind))} is trained yet")
    return models[key]


def model_grades(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the mean grade of each model: a row for each set and seed, a column for each kind by `columns`."""
    return rows.assign(score=rows.grade.map(SCORES)).pivot_table("score", ["instruments", "seed"], columns)


def final_losses(stage: str, alpha: float = 1.0) -> pd.DataFrame:
    """Return the STFT loss at the end of a stage in the paper's regime, infinite where a model diverged.

    A row for each seed, a column for each activation and rate.
    """
    rows = load("activations-history", updates="paper", spectrum="STFT", elu_alpha=alpha)
    kinds = ["seed", "activation", "learning_rate"]
    losses = rows[rows.stage == stage].groupby(kinds).loss.last()
    before = rows.stage.isin(STAGES[: STAGES.index(stage) + 1])
    diverged = rows[before & (rows.epoch == -1)].groupby(kinds).loss.last()  # infinity
    return diverged.combine(losses, max, fill_value=0.0).unstack(kinds[1:])


def at_best_rate(losses: pd.DataFrame, activation: str) -> pd.Series:
    """Return the loss of each seed at the rate that is best for an activation by the mean over seeds."""
    by_rate = column(losses, activation)
    return by_rate[by_rate.mean().idxmin()]


@claim(
    "unseen-pitches",
    "2.2",
    "SING can generate no pitch that it was not trained on.",
    held_out=("between", "beyond"),
    of="that were held out",
)
@asked("pitches")
def share_of_unseen(rows: pd.DataFrame, held_out: tuple[str, ...], of: str) -> Effect:
    """Share of the notes of pitches {of} heard at their own, in % of the trained notes' share; under {SELDOM} %."""
    each = [of_trained(rows, "table", kind) for kind in held_out]
    return judge_each(
        [judge(share, SHARE, below=SELDOM, of="model", within=(0, math.inf)) for share in each], hardest=max
    )


@claim(
    "tuned-to-relu",
    "4",
    "SING may have been tuned to ReLU: at its own best learning rate ELU is as good in the LSTM stage.",
)
@asked("activations", updates="paper")
def lead_at_best_rates(rows: pd.DataFrame) -> Effect:
    """How far ReLU's loss ends the LSTM stage below ELU's, each at its best rate of three; under {LEAD} %."""
    losses = final_losses("lstm")
    lower = BELOW.of(*(at_best_rate(losses, name) for name in ("ReLU", "ELU")))
    return judge(lower, "% of ELU's loss", below=LEAD, ratio=BELOW)


@claim("more-data", "4", "With more training data, ReLU's lead over ELU may shrink.")
@asked("more-notes")
def lead_lost(rows: pd.DataFrame) -> Effect:
    """How far ReLU's lead in the LSTM loss, in %, on an eighth of the notes lies above that on all; more than 0."""
    kinds = ["activation", "share", "instruments", "seed"]
    losses = load("more-notes-history", stage="lstm", spectrum="STFT").groupby(kinds).loss.last().unstack(kinds[:2])
    leads = 100 * (1 - column(losses, "ReLU") / column(losses, "ELU"))
    if not column(leads, "eighth").mean() > 0:
        raise Untestable("on an eighth of the notes ReLU has no lead to lose")
    return judge(column(leads, "eighth") - column(leads, "all"), "points", above=0)


def leads_of_relu(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by how many grades ReLU sounds better than ELU: a row for each set and seed, a column for each share.

    On the notes of the eighth, which all models are trained on.
    """
    grades = model_grades(rows[rows.in_eighth], "activation", "share")
    require_good(column(grades, "ReLU").stack(future_stack=True).mean())
    return column(grades, "ReLU") - column(grades, "ELU")


def require_good(grade: float) -> None:
    """Raise `Untestable` if the mean grade of models is under `GOOD`: noise has no lead to lose."""
    if grade < GOOD:
        raise Untestable(f"the models' mean grade is {grade:.1f} of 5, too low to say more")


@claim("selu-sounds-better", "4", "SELU may sound better than ReLU.", updates="paper", when="in the paper's regime")
@asked("activations", "updates", elu_alpha=1.0)
def lead_of_selu(rows: pd.DataFrame, updates: str, when: str) -> Effect:
    """How far the mean grade of SELU lies above that of ReLU {when}; more than 0."""
    grades = model_grades(rows[rows.learning_rate == RATES[updates]], "activation")
    return judge(column(grades, "SELU") - column(grades, "ReLU"), "grades", above=0)


ours(
    "unseen-between",
    "2.2",
    "SING can generate no pitch that was held out between trained ones.",
    held_out=("between",),
    of="held out between others",
)(share_of_unseen)


@ours(
    "octave-between",
    "2.2",
    "With octave and pitch class as its input, SING generates pitches between trained ones.",
    of="octave",
)
@ours(
    "wave-between",
    "2.2",
    "With sines of the pitch as its input, SING generates pitches between trained ones.",
    of="wave",
)
@asked("pitches")
def more_often_between(rows: pd.DataFrame, of: str) -> Effect:
    """How far the share of such notes at their own pitch with "{of}" lies above "table"; over {MORE_OFTEN} points.

    Points are % of the trained notes' share.
    """
    return judge(of_trained(rows, of, "between") - of_trained(rows, "table", "between"), "points", above=MORE_OFTEN)


@ours(
    "wave-above-octave",
    "2.2",
    "Pitches between trained ones are generated more often with sines of the pitch than with octave and pitch class.",
)
@asked("pitches")
def wave_above_octave(rows: pd.DataFrame) -> Effect:
    """How far the share of such notes at their own pitch with "wave" lies above "octave"; more than 0."""
    return judge(of_trained(rows, "wave", "between") - of_trained(rows, "octave", "between"), "points", above=0)


@ours("unseen-beyond", "2.2", "Beyond the trained range no input gives the right pitch.")
@asked("pitches")
def best_beyond(rows: pd.DataFrame) -> Effect:
    """Share of notes beyond at their own pitch, of the trained notes' share, with the best input; under {SELDOM} %."""
    each = [of_trained(rows, kind, "beyond") for kind in rows.input.unique()]
    return judge_each(
        [judge(of_input, SHARE, below=SELDOM, of="model", within=(0, math.inf)) for of_input in each], hardest=max
    )


@ours("unseen-notes", "2.2", "Held-out notes of known pitches, the original's way, sound at their own pitch.")
@asked("pitches")
def as_often_as_trained(rows: pd.DataFrame) -> Effect:
    """Share of such notes at their own pitch, of the trained notes' share, mean over the inputs; over {AS_OFTEN} %."""
    each = [of_trained(rows, kind, "known") for kind in rows.input.unique()]
    return judge(pd.concat(each, axis=1).mean(axis=1), SHARE, above=AS_OFTEN, of="model", within=(0, math.inf))


def code_models(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return a value of the models of `codes`.

    A row for each seed; columns: encoder, decoder, whether it is the early autoencoder, how the codes were scaled.
    """
    return rows.pivot(index="seed", columns=["encoder", "decoder", "early", "scaled"], values=value)


@ours(
    "elu-codes-larger",
    "3.1",
    "The codes of ELU's encoder are larger than ReLU's.",
    value="scale",
    what="scale",
    above=LARGER,
)
@ours(
    "elu-codes-unpredicted",
    "3.1",
    "Less of ELU's codes can be predicted from the two before them.",
    value="unpredicted",
    what="unpredicted part",
    above=0,
)
@asked("codes")
def codes_above(rows: pd.DataFrame, value: str, what: str, above: float) -> Effect:
    """How far the {what} of ELU's codes lies above that of ReLU's; more than {above} %."""
    values = code_models(rows, value)
    elu, relu = (column(values, name, name, False, "no") for name in ("ELU", "ReLU"))
    return judge(ABOVE.of(elu, relu), "% of ReLU's", above=above, ratio=ABOVE)


def gap(ends: pd.DataFrame, early: bool = False, scaled: str = "no") -> pd.Series:
    """Return how far ELU lies above ReLU in a table of `code_models`."""
    return column(ends, "ELU", "ELU", early, scaled) - column(ends, "ReLU", "ReLU", early, scaled)


@ours("scaled-codes-learned", "3.1", "Brought to unit variance, ELU's codes lose over half of their gap to ReLU's.")
@asked("codes")
def gap_closed(rows: pd.DataFrame) -> Effect:
    """Share of ELU's gap to ReLU at the end of the LSTM stage that goes with ELU's codes scaled; more than {HALF} %."""
    ends = code_models(rows, "lstm")
    gone = column(ends, "ELU", "ELU", False, "no") - column(ends, "ELU", "ELU", False, "each dimension")
    return judge(100 * gone / gap(ends), GAP, above=HALF)


@ours("scaled-gap-closes", "3.1", "Where ELU's and ReLU's codes have unit variance, less than half of the gap is left.")
@asked("codes")
def gap_left(rows: pd.DataFrame) -> Effect:
    """Share of ELU's gap to ReLU at the end of the LSTM stage that is left with both scaled; under {HALF} %."""
    ends = code_models(rows, "lstm")
    return judge(100 * gap(ends, scaled="each dimension") / gap(ends), GAP, below=HALF)


@ours(
    "relu-decoder-decides",
    "3.1",
    "If ReLU decodes them, the codes of ELU's encoder end nearer to ReLU's than to ELU's.",
    encoder="ELU",
    decoder="ReLU",
    bars={"below": HALF},
    side="under",
)
@ours(
    "elu-decoder-decides",
    "3.1",
    "If ELU decodes them, the codes of ReLU's encoder end nearer to ELU's than to ReLU's.",
    encoder="ReLU",
    decoder="ELU",
    bars={"above": HALF},
    side="over",
)
@asked("codes")
def way_to_elu(rows: pd.DataFrame, encoder: str, decoder: str, bars: dict[str, float], side: str) -> Effect:
    """Where from ReLU (0) to ELU (100 %) {encoder}'s codes with {decoder}'s decoder end the LSTM; {side} {HALF} %.

    By how much the loss ends above that of the autoencoder, since each pair has an autoencoder of its own.
    """
    ends = code_models(rows, "lstm") - code_models(rows, "autoencoder")
    relu = column(ends, "ReLU", "ReLU", False, "no")
    return judge(100 * (column(ends, encoder, decoder, False, "no") - relu) / gap(ends), GAP, of="model", **bars)


@ours("early-elu-stalls", "3.1", "At the same autoencoder loss, early in training, ELU ends the LSTM stage above ReLU.")
@asked("codes")
def gap_of_early(rows: pd.DataFrame) -> Effect:
    """Share of ELU's gap to ReLU that is there with autoencoders of the same, early loss; more than {HALF} %."""
    ends = code_models(rows, "lstm")
    return judge(100 * gap(ends, early=True) / gap(ends), GAP, above=HALF)


ours(
    "selu-sounds-better-later",
    "4",
    "SELU sounds better than ReLU when both are trained as well as we know how, too.",
    updates="best",
    when="trained as recorded-best is",
)(lead_of_selu)


@ours("silu-ends-lower", "4", "SiLU ends the autoencoder lower than ReLU.")
@asked("activations", updates="paper")
def lead_of_silu(rows: pd.DataFrame) -> Effect:
    """How far SiLU's loss ends the autoencoder below ReLU's; more than 0."""
    losses = final_losses("autoencoder")
    lower = BELOW.of(*(column(losses, name, RATES["paper"]) for name in ("SiLU", "ReLU")))
    return judge(lower, "% of ReLU's loss", above=0, ratio=BELOW)


@ours("silu-between", "4", "SiLU ends the LSTM stage between ReLU and ELU.")
@asked("activations", updates="paper")
def way_of_silu(rows: pd.DataFrame) -> Effect:
    """Where from ReLU (0) to ELU (100 %) SiLU ends the LSTM stage; over 0 and under 100 %."""
    losses = final_losses("lstm")
    silu, relu, elu = (column(losses, name, RATES["paper"]) for name in ("SiLU", "ReLU", "ELU"))
    way = 100 * (silu - relu) / (elu - relu)
    return judge(way, GAP, above=0, below=100, of="model")


@ours("alpha-10-at-its-rate", "1.4.1", "At its own best rate, too, ELU with a = 10 ends far above a = 1.")
@asked("activations", updates="paper", activation="ELU")
def ten_at_best_rate(rows: pd.DataFrame) -> Effect:
    """How far the loss with a = 10 ends the autoencoder above a = 1, each at its best of three; over {WORSE} %."""
    ten, one = (at_best_rate(final_losses("autoencoder", alpha), "ELU") for alpha in (10.0, 1.0))
    return judge(ABOVE.of(ten, one), "% of the loss with a = 1", above=WORSE, ratio=ABOVE)


@ours("relus-lead-steady", "4", "ReLU's lead in sound changes little with the number of notes.")
@asked("more-notes")
def change_of_lead(rows: pd.DataFrame) -> Effect:
    """How far ReLU's lead on an eighth of the notes lies above that on all; between -{STEADY} and {STEADY}."""
    leads = leads_of_relu(rows)
    return judge(column(leads, "eighth") - column(leads, "all"), "grades", above=-STEADY, below=STEADY)


@ours("noise-costs-little", "2.1", "The noise notes of brass 5, left in, cost little.")
@asked("more-notes", instruments="brass1-5", activation="ReLU")
def cost_of_noise(rows: pd.DataFrame) -> Effect:
    """How far the mean grade of brass1-5/ReLU with them lies below that without; under {LITTLE:g} grades."""
    grades = model_grades(rows, "share")
    require_good(column(grades, "all").mean())
    return judge(column(grades, "all") - column(grades, "all and noise"), "grades", below=LITTLE)
