"""Every claim put to the test: what section 3.1 says of the curves, 3.2 of the sounds, 4 of both, and what we add.

`CLAIMS` lists them, `check` tests them on the records of a profile. The curves are those of
`singlib.claims.curves`, our own experiments those of `singlib.claims.ours`; statistics and verdicts are
explained in `singlib.claims.statistics`. Sounds are judged by the grades of `singlib.grading.grades`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from ..grading.grades import BRIGHTNESS, HEARD, SCORES, velocity_heard
from ..grid import INSTRUMENT_SETS, PAPER_ACTIVATIONS, Cell
from ..runs.records import Records
from .curves import CURVES, STFT
from .effects import KINDS, Claim, chosen, claims_of, of_all, pairs, scores
from .ours import EXPERIMENTS, lstm_and_grade
from .statistics import VERDICTS, Effect, Untestable, every, holm, judge

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Effect", "Untestable", "check"]

LOW = 0.5  # a mean grade from here on is nearer to "-/o", the medium category, than to "-"
HIGH = 2.5  # nearer to "o/+" than to "o": the high category
HEARABLE = BRIGHTNESS / 5  # octaves: a fifth of what velocity does to the brightness of real brass
FIRST_SET = ("keys", "mallet", "voice", "k+m+v")
SEVERAL_BRASS = ("brass1-3", "brass1-5")


def low_as_published(records: Records) -> Effect:
    """Measure the best mean grade of any model without its gradient."""
    return every(scores(records, gradient="cut", published=True), "grades", below=LOW)


def relu_sounds_better(records: Records) -> Effect:
    """Measure by how many grades the STFT/ReLU models of the first set sound better than STFT/ELU."""
    relu, elu = pairs(scores(records, **STFT | {"instruments": FIRST_SET}), "activation", "ReLU", "ELU")
    return judge(of_all(relu - elu, FIRST_SET), "grades", above=0)


def share(records: Records, activation: str, test: Callable[[pd.DataFrame], pd.Series]) -> Effect:
    """Measure the share of the notes of a model of the first set that pass a test."""
    notes = chosen(records.quality, **STFT | {"instruments": FIRST_SET, "activation": activation})
    shares = 100 * test(notes).groupby([notes[kind] for kind in KINDS]).mean()
    return judge(of_all(shares, FIRST_SET), "% of the notes", above=50, of="model", within=(0, 100))


def medium(notes: pd.DataFrame) -> pd.Series:
    """Tell which notes are of medium quality: modulated noise."""
    return notes.grade.isin(("-/o", "o"))


def high(notes: pd.DataFrame) -> pd.Series:
    """Tell which notes are of high quality."""
    return notes.grade.isin(("o/+", "+", "++"))


def right_pitch(notes: pd.DataFrame) -> pd.Series:
    """Tell in which notes the pitch of the label is heard."""
    return notes.pitch_heard >= HEARD


def rises(notes: pd.DataFrame) -> pd.Series:
    """Return how much brighter each model's notes of each role get with velocity, in octaves."""
    told = {key: velocity_heard(rows) for key, rows in notes.groupby(["cell", "role"])}
    found = pd.Series({key: frame.generated.iloc[0] for key, frame in told.items() if len(frame)}, dtype=float)
    if found.empty:
        raise Untestable("too few notes to tell pitch and velocity apart")
    return found.rename_axis(["cell", "role"])


def velocity_on_keys(records: Records) -> Effect:
    """Measure how much brighter the notes of the keys STFT/ReLU models get with velocity."""
    notes = chosen(records.quality, **STFT | {"instruments": "keys", "activation": "ReLU"})
    return judge(rises(notes).to_numpy(), "octaves", below=HEARABLE, of="model")


def velocity_on_brass(records: Records) -> Effect:
    """Measure how much brighter the notes of several brass instruments get with velocity; interval over instruments."""
    notes = chosen(records.quality, **STFT | {"instruments": SEVERAL_BRASS})
    each = rises(notes)
    effect = judge(each.groupby("role").mean().to_numpy(), "octaves", above=HEARABLE, of="instrument")
    return replace(effect, models=each.index.get_level_values("cell").nunique())


def brass1_elu_low(records: Records) -> Effect:
    """Measure the mean grade of brass1/ELU."""
    heard = scores(records, **STFT | {"instruments": "brass1", "activation": "ELU"})
    return judge(heard, "grades", below=LOW, of="model")


def several_brass_high(records: Records) -> Effect:
    """Measure the mean grade of the models of three and of five brass instruments."""
    heard = scores(records, **STFT | {"instruments": SEVERAL_BRASS})
    if set(heard.index.get_level_values("activation")) != set(PAPER_ACTIVATIONS):
        raise Untestable("needs models of ReLU and of ELU")
    return judge(of_all(heard, SEVERAL_BRASS), "grades", above=HIGH, of="model")


def several_sound_better(records: Records) -> Effect:
    """Measure by how many grades models of several instruments do better on an instrument than its own model.

    Only of models that were trained for the same epochs: the keys models of a profile may be shorter.
    """
    epochs = {name: records.profile.sized(Cell(name)).epochs for name in INSTRUMENT_SETS}
    notes = chosen(records.quality, **STFT)
    heard = notes.grade.map(SCORES).groupby([notes.activation, notes.instruments, notes.role]).mean()
    gains = []
    for activation in PAPER_ACTIVATIONS:
        for several in ("k+m+v", *SEVERAL_BRASS):
            roles = [
                (activation, several, role) for role in INSTRUMENT_SETS[several] if epochs[several] == epochs.get(role)
            ]
            alone = [(activation, role, role) for _, _, role in roles]
            both = [pair for pair in zip(roles, alone, strict=True) if set(pair) <= set(heard.index)]
            gains += [np.mean([heard[one] - heard[other] for one, other in both])] if both else []
    return judge(gains, "grades", above=0)


def note_scores(records: Records, instruments: str, activation: str) -> pd.DataFrame:
    """Return the grades of an STFT model, from 0 to 5: a row for each note, a column for each seed."""
    notes = chosen(records.quality, **STFT | {"instruments": instruments, "activation": activation})
    by_note = notes.assign(score=notes.grade.map(SCORES))
    return by_note.pivot_table(index=["role", "pitch", "velocity"], columns="seed", values="score")


def ahead(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Return by how much the first is ahead on the notes that both play, a value of each seed."""
    return (one - other).dropna(how="all").mean().dropna()


def elu_worse_with_five(records: Records) -> Effect:
    """Measure by how many grades brass1-3/ELU is better than brass1-5/ELU, on the notes that both play."""
    three, five = (note_scores(records, instruments, "ELU") for instruments in SEVERAL_BRASS)
    return judge(ahead(three, five), "grades", above=0)


def relu_with_five_best(records: Records) -> Effect:
    """Measure by how many grades brass1-5/ReLU is ahead of its strongest rival, on the notes that both play."""
    best = note_scores(records, "brass1-5", "ReLU")
    rivals = [(name, activation) for name in ("brass1", *SEVERAL_BRASS) for activation in PAPER_ACTIVATIONS]
    leads = [ahead(best, note_scores(records, *rival)) for rival in rivals if rival != ("brass1-5", "ReLU")]
    return judge(min(leads, key=pd.Series.mean), "grades", above=0)


def never(records: Records, why: str) -> Effect:
    """Say why no records of this grid can test a claim."""
    raise Untestable(why)


def selu_sounds_better(records: Records) -> Effect:
    """Measure by how many grades SELU models sound better than ReLU models; the grid has none."""
    heard = scores(records, training_loss="STFT", activation=("ReLU", "SELU"))
    selu, relu = pairs(heard, "activation", "SELU", "ReLU")
    return judge(selu - relu, "grades", above=0)


# fmt: off
SOUNDS = claims_of(
    ("published-low", "3.2, Fig. 16", "As published, all MFC and CQT models sound low: static and tonal noise.",
     f"Mean grade of the best of these models; under {LOW:g}, nearest to \"-\".",
     low_as_published),
    ("relu-sounds-better", "3.2, Table 3", "STFT/ReLU sounds better than STFT/ELU (keys, mallet, voice and all three).",
     "Mean grade of ReLU less that of ELU; more than 0.",
     relu_sounds_better),
    ("elu-medium", "3.2, Fig. 17", "Most notes of STFT/ELU are of medium quality.",
     "Share of a model's notes graded -/o or o; over half.",
     share, "ELU", medium),
    ("relu-high", "3.2, Fig. 18", "Most notes of STFT/ReLU are of high quality.",
     "Share of a model's notes graded o/+ or better; over half.",
     share, "ReLU", high),
    ("relu-pitch", "3.2", "In most notes of STFT/ReLU the right pitch is heard.",
     f"Share of a model's notes with {HEARD:.0%} or more of their loudness at the pitch; over half.",
     share, "ReLU", right_pitch),
    ("keys-velocity-not-heard", "3.2", "On keys, velocity can hardly be heard.",
     f"How much brighter STFT/ReLU gets from velocity 25 to 127; under {HEARABLE:g} octaves.",
     velocity_on_keys),
    ("brass1-elu-low", "3.2, Fig. 19", "Trained on one brass instrument, ELU sounds low.",
     f"Mean grade of the notes; under {LOW:g}, nearest to \"-\".",
     brass1_elu_low),
    ("brass-several-high", "3.2", "Trained on several brass instruments, ReLU and ELU both sound high.",
     f"Mean grade of these models; over {HIGH:g}, nearest to \"o/+\" or above.",
     several_brass_high),
    ("brass-velocity-heard", "3.2", "On brass, velocity is heard in the strength of the harmonics.",
     f"How much brighter models of several instruments get from velocity 25 to 127; over {HEARABLE:g} octaves.",
     velocity_on_brass),
    ("several-sound-better", "3.2, Table 3", "Models of more instruments sound better than models of one.",
     "Mean grade on an instrument's notes less that of its own model (STFT, same epochs); more than 0.",
     several_sound_better),
    ("brass-elu-worse-with-five", "3.2, Fig. 21", "With ELU, five brass instruments sound worse than three.",
     "Grade of brass1-3/ELU less that of brass1-5/ELU, on the same notes; more than 0.",
     elu_worse_with_five),
    ("brass-relu-best-with-five", "3.2, Fig. 22", "With ReLU, five brass instruments sound best of all brass models.",
     "Grade of brass1-5/ReLU less that of its strongest rival, on the same notes; more than 0.",
     relu_with_five_best),
    ("lstm-goes-with-grade", "4", "A lower loss in the LSTM goes with a better sound.",
     "Rank correlation of the LSTM's last STFT loss with the mean grade, STFT models, within sets; below 0.",
     lstm_and_grade, "STFT"),
    ("lstm-matters-most", "4", "The LSTM matters most: its loss tells more of the sound than the autoencoder's.",
     "The same correlation less that of the autoencoder's last STFT loss; below 0.",
     lstm_and_grade, "STFT", "autoencoder"),
    ("unseen-pitches", "2.2", "SING can play pitches that it was not trained on.",
     "Grades of notes at pitches outside the training grid.",
     never, "no such note is graded: it would have no target to be graded by"),
    ("more-data", "4", "With more training data ReLU may lose its advantage over ELU.",
     "Grades of ReLU less those of ELU, as the number of notes grows.",
     never, "the grid has no larger set than the paper's, and its sets differ in their instruments too"),
    ("tuned-to-relu", "4", "The other parts of SING may have been tuned to ReLU.",
     "Grades of ReLU and ELU models, each at sizes and rates chosen for it.",
     never, "all models share one size and one learning rate"),
    ("selu-sounds-better", "4", "SELU may sound better than ReLU.",
     "Mean grade of STFT/SELU less that of STFT/ReLU; more than 0.",
     selu_sounds_better),
)
# fmt: on
CLAIMS = (*CURVES, *SOUNDS, *EXPERIMENTS)


def check(records: Records, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Put claims to the test.

    Parameters
    ----------
    records : Records
        Of one profile; any of its frames may be empty.
    claims : sequence of Claim
        All of them by default, the paper's before ours.

    Returns
    -------
    DataFrame
        A row for each claim: ``key``, ``place``, ``statement``, ``effect`` (what is measured), then what came out:
        ``size`` with its 95 % interval ``lowest`` and ``highest``, ``models``, ``unit``, ``verdict`` (one of
        `VERDICTS`), ``reason``, ``leans``, ``p`` and ``by_set`` (see `Effect`), ``holm`` (the verdict when all
        are to be right together, see `holm`), ``revised`` (see `Claim`); and the ``regime`` of the profile, in which
        it is so. The same records give the same numbers.
    """
    rows = []
    for claim in claims:
        try:
            effect = claim.measure(records)
        except Untestable as why:
            effect = Effect(np.nan, np.nan, np.nan, 0, "", "cannot be tested", str(why))
        said = {name: getattr(claim, name) for name in ("key", "place", "statement", "effect", "revised")}
        rows.append(said | asdict(effect) | {"holm": "", "regime": records.profile.regime})
    columns = [
        "key",
        "place",
        "statement",
        "effect",
        "size",
        "lowest",
        "highest",
        "models",
        "unit",
        "verdict",
        "reason",
        "leans",
        "p",
        "by_set",
        "holm",
        "revised",
        "regime",
    ]
    checked = pd.DataFrame(rows, columns=columns)
    return checked.assign(holm=holm(checked))
