"""Claims of sections 3.2 and 4 of the paper: what the models sound like, by the grades of `singlib.grading.grades`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..grading.grades import BRIGHTNESS, DECAY, HEARD, ONSET, RELEASE, SCORES
from ..grading.velocity import rise_in_brightness
from ..grid import BRASS_SETS, INSTRUMENT_SETS, PAPER_ACTIVATIONS, Cell
from ..runs.records import Records
from .claim import claim
from .comparisons import (
    AS_PUBLISHED,
    FLOW,
    KINDS,
    STFT,
    final_loss,
    loss_curves,
    mean_grades,
    pairs,
    require_sets,
    select,
)
from .statistics import Effect, Untestable, judge, judge_each, judge_largest, judge_rank_correlation

LOW = 0.5  # a mean grade from here on is nearer to "-/o", the medium category, than to "-"
HIGH = 2.5  # nearer to "o/+" than to "o": the high category
AUDIBLE = BRIGHTNESS / 5  # octaves: a fifth of the difference that a grade of "++" allows
FIRST_SETS = ("keys", "mallet", "voice", "k+m+v")
SEVERAL_BRASS = BRASS_SETS[1:]


@claim(
    "published-low",
    "3.2, Fig. 16",
    "As published, all MFC and CQT models are of low quality: static, tonal noise.",
    models=AS_PUBLISHED,
)
def best_as_published(records: Records) -> Effect:
    """Mean grade of the best of these models; under {LOW:g}, nearest to "-"."""
    return judge_largest(mean_grades(records, published=True, **AS_PUBLISHED), "grades", below=LOW)


def lead_in_grade(records: Records, column: str, one: str, other: str, **where: object) -> Effect:
    """Judge by how many grades models of one kind sound better than those of the other, in pairs."""
    better, worse = pairs(mean_grades(records, **where), column, one, other)
    return judge(require_sets(better - worse, where.get("instruments", ())), "grades", above=0)


@claim(
    "relu-sounds-better", "3.2, Table 3", "STFT/ReLU sounds better than STFT/ELU (keys, mallet, voice and all three)."
)
def lead_of_relu(records: Records) -> Effect:
    """How far ReLU's mean grade lies above ELU's; more than 0."""
    return lead_in_grade(records, "activation", "ReLU", "ELU", **STFT | {"instruments": FIRST_SETS})


def share(records: Records, activation: str, test: Callable[[pd.DataFrame], pd.Series]) -> Effect:
    """Judge the share of the notes of a model of the first sets that pass a test."""
    notes = select(records.quality, **STFT | {"instruments": FIRST_SETS, "activation": activation})
    shares = 100 * test(notes).groupby([notes[kind] for kind in KINDS]).mean()
    return judge(require_sets(shares, FIRST_SETS), "% of the notes", above=50, of="model", within=(0, 100))


@claim("elu-medium", "3.2, Fig. 17", "Most notes of STFT/ELU are of medium quality.")
def share_of_medium(records: Records) -> Effect:
    """Share of a model's notes graded -/o or o; over half."""
    return share(records, "ELU", lambda notes: notes.grade.isin(("-/o", "o")))


@claim("relu-high", "3.2, Fig. 18", "Most notes of STFT/ReLU are of high quality.")
def share_of_high(records: Records) -> Effect:
    """Share of a model's notes graded o/+ or better; over half."""
    return share(records, "ReLU", lambda notes: notes.grade.isin(("o/+", "+", "++")))


@claim("relu-pitch", "3.2", "In most notes of STFT/ReLU, the right pitch is heard.")
def share_in_tune(records: Records) -> Effect:
    """Share of a model's notes with {HEARD:.0%} or more of their loudness at the pitch; over half."""
    return share(records, "ReLU", lambda notes: notes.pitch_heard >= HEARD)


@claim("relu-envelope", "3.2, Fig. 18", "Most notes of STFT/ReLU begin and decay as the original does.")
def share_shaped(records: Records) -> Effect:
    """Share of a model's notes within {ONSET:g} s of the target's onset, {DECAY:g} dB of its decay; over half.

    And within a third of a full release, as the grade has it (`RELEASE`).
    """
    ends = {"onset": ONSET, "decay": DECAY, "release": RELEASE}
    return share(records, "ReLU", lambda notes: (notes[list(ends)].abs() <= pd.Series(ends)).all(axis=1))


def brightening(notes: pd.DataFrame) -> pd.Series:
    """Return how much brighter each model's notes of each role get from velocity 25 to 127, in octaves."""
    rises = {model: rise_in_brightness(rows) for model, rows in notes.groupby(["cell", "role"])}
    rises = pd.Series(rises, dtype=float).dropna()
    if rises.empty:
        raise Untestable("too few notes to tell pitch and velocity apart")
    return rises.rename_axis(["cell", "role"])


@claim("keys-velocity-not-heard", "3.2", "On keys, velocity can hardly be heard.")
def brightening_of_keys(records: Records) -> Effect:
    """How far the brightness of STFT/ReLU at velocity 127 lies above that at 25; under {AUDIBLE:g} octaves."""
    notes = select(records.quality, **STFT | {"instruments": "keys", "activation": "ReLU"})
    return judge(brightening(notes).to_numpy(), "octaves", below=AUDIBLE, of="model")


@claim("brass1-elu-low", "3.2, Fig. 19", "Trained on one brass instrument, ELU is of low quality.")
def grade_of_brass1(records: Records) -> Effect:
    """Mean grade of the notes; under {LOW:g}, nearest to "-"."""
    grades = mean_grades(records, **STFT | {"instruments": "brass1", "activation": "ELU"})
    return judge(grades, "grades", below=LOW, of="model")


@claim("brass1-relu-medium", "3.2, Fig. 20", "Trained on one brass instrument, ReLU is of medium quality or better.")
def grade_of_brass1_relu(records: Records) -> Effect:
    """Mean grade of the notes; over {LOW:g}, nearer to "-/o" than to "-"."""
    grades = mean_grades(records, **STFT | {"instruments": "brass1", "activation": "ReLU"})
    return judge(grades, "grades", above=LOW, of="model")


@claim("brass-several-high", "3.2", "Trained on several brass instruments, both ReLU and ELU are of high quality.")
def grade_of_several_brass(records: Records) -> Effect:
    """Mean grade of these models; over {HIGH:g}, nearest to "o/+" or better."""
    grades = mean_grades(records, **STFT | {"instruments": SEVERAL_BRASS})
    if set(grades.index.get_level_values("activation")) != set(PAPER_ACTIVATIONS):
        raise Untestable("needs models of ReLU and of ELU")
    return judge(require_sets(grades, SEVERAL_BRASS), "grades", above=HIGH, of="model")


@claim("brass-velocity-heard", "3.2", "On brass, velocity is heard in the strength of the harmonics.")
def brightening_of_brass(records: Records) -> Effect:
    """How far the brightness at velocity 127 lies above that at 25, several brass; over {AUDIBLE:g} octaves.

    The interval is over instruments, and n counts those that have enough notes to tell pitch and velocity apart.
    """
    rises = brightening(select(records.quality, **STFT | {"instruments": SEVERAL_BRASS}))
    return judge(rises.groupby("role").mean().to_numpy(), "octaves", above=AUDIBLE, of="instrument")


@claim("several-sound-better", "3.2, Table 3", "Models of several instruments sound better than models of one.")
def lead_of_several(records: Records) -> Effect:
    """How far the mean grade on an instrument's notes lies above that of its own model, trained alike; more than 0.

    Alike: for as many epochs, or for as many updates, to a tenth; the sets of a profile may have epochs of their own.
    """
    epochs = {name: records.profile.sized(Cell(name)).epochs for name in INSTRUMENT_SETS}
    history = records.history  # without columns where nothing is trained
    updates = {} if history.empty else history[history.stage == "autoencoder"].groupby("instruments").updates.max()
    notes = select(records.quality, **STFT).assign(score=lambda notes: notes.grade.map(SCORES))
    grades = notes.groupby(["instruments", "activation", "seed", "role"], sort=False).score.mean().reset_index()
    several = grades[grades.instruments.isin(("k+m+v", *SEVERAL_BRASS))]
    alone = grades[grades.instruments == grades.role]
    both = several.merge(alone, on=["activation", "seed", "role"], suffixes=("", "_alone"))
    cost, own_cost = (names.map(updates).astype(float) for names in (both.instruments, both.instruments_alone))
    alike = (cost - own_cost).abs() <= cost / 10
    both = both[(both.instruments.map(epochs) == both.instruments_alone.map(epochs)) | alike]
    leads = (both.score - both.score_alone).groupby([both.instruments, both.activation, both.seed], sort=False).mean()
    return judge(leads, "grades", above=0)


def lead_on_same_notes(records: Records, one: tuple[str, str], other: tuple[str, str]) -> pd.Series:
    """Return by how many grades an STFT model (instruments, activation) leads on the notes both play, for each seed."""

    def grades(instruments: str, activation: str) -> pd.DataFrame:
        notes = select(records.quality, **STFT | {"instruments": instruments, "activation": activation})
        notes = notes.assign(score=notes.grade.map(SCORES))
        return notes.pivot_table(index=["role", "pitch", "velocity"], columns="seed", values="score")

    return (grades(*one) - grades(*other)).dropna(how="all").mean().dropna()


@claim(
    "brass-elu-worse-with-five", "3.2, Fig. 21", "With ELU, brass models of five instruments sound worse than of three."
)
def lead_of_three_over_five(records: Records) -> Effect:
    """How far the grade of brass1-3/ELU lies above that of brass1-5/ELU, on the same notes; more than 0."""
    return judge(lead_on_same_notes(records, ("brass1-3", "ELU"), ("brass1-5", "ELU")), "grades", above=0)


@claim(
    "brass-relu-best-with-five", "3.2, Fig. 22", "Of all brass models, ReLU trained on five instruments sounds best."
)
def lead_of_five_over_rivals(records: Records) -> Effect:
    """How far the grade of brass1-5/ReLU lies above that of its strongest rival, on the same notes; more than 0."""
    best = ("brass1-5", "ReLU")
    rivals = [(name, activation) for name in BRASS_SETS for activation in PAPER_ACTIVATIONS]
    leads = [lead_on_same_notes(records, best, rival) for rival in rivals if rival != best]
    return judge_each([judge(lead, "grades", above=0) for lead in leads])


def within_kinds(values: pd.Series) -> pd.Series:
    """Return each model's value less the mean over seeds; a model that has no other seed beside it is left out."""
    kinds = values.groupby(["instruments", "activation"])
    return (values - kinds.transform("mean"))[kinds.transform("size") > 1]


@claim("lstm-goes-with-grade", "4", "A lower LSTM loss goes with better sound.", loss="STFT")
def correlation_of_lstm(records: Records, loss: str, less: str | None = None) -> Effect:
    """Rank correlation of the LSTM's final STFT loss with the mean grade, {loss} models, over seeds; below 0.

    Models are compared with those that differ in the seed alone: a loud instrument has higher losses, whatever it
    sounds like, and between ReLU and ELU everything differs, so that any stage's loss would go with the sound. Those
    whose gradient was cut are left out: they are bad in every stage, whichever matters. `less` names a stage whose
    correlation is to be the weaker one.
    """
    trained = FLOW | {"training_loss": loss}
    lstm, other = (
        within_kinds(np.log(final_loss(loss_curves(records, stage, spectrum="STFT", **trained)))) if stage else None
        for stage in ("lstm", less)
    )
    kinds = lstm.groupby(["instruments", "activation"]).ngroups
    return judge_rank_correlation(lstm, within_kinds(mean_grades(records, **trained)), other, kinds)


@claim("lstm-matters-most", "4", "The LSTM matters most: its loss says more about the sound than the autoencoder's.")
def lead_of_lstm_over_autoencoder(records: Records) -> Effect:
    """How far the LSTM loss's rank correlation with the grade, up or down, lies above the autoencoder's; over 0."""
    return correlation_of_lstm(records, "STFT", less="autoencoder")
