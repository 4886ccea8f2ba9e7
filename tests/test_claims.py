"""Each claim on made-up records where it is plainly true, plainly false and undecidable."""

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from singlib.claims import CLAIMS, VERDICTS, check, questions
from singlib.claims.claim import REVISED
from singlib.claims.statistics import (
    ABOVE,
    BELOW,
    Untestable,
    holm,
    judge,
    judge_almost_all,
    judge_each,
    judge_largest,
    judge_rank_correlation,
    tau_interval,
)
from singlib.grading.grades import GRADES
from singlib.grid import BRASS, INSTRUMENT_SETS, LOSSES, PROFILES, Cell, cells
from singlib.report import verdicts
from singlib.runs.records import Records, describe

T = np.arange(51)
WHOLE = replace(
    PROFILES["recorded"], mrstft_models=dict.fromkeys(INSTRUMENT_SETS, 3)
)  # a grid of every kind of model that there is a claim on
BY_KEY = {claim.key: claim for claim in CLAIMS}
# On experiments beside the grid: tests/test_questions.py.
QUESTIONS = {claim.key for claim in CLAIMS if claim.measure.func.__module__ == questions.__name__}


@pytest.fixture(autouse=True, scope="module")
def no_experiments(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINGLIB_ROOT", str(tmp_path_factory.mktemp("empty")))
        yield


def models(instruments="keys", losses="STFT", gradient="flow", seeds=10, activations=("ReLU", "ELU"), alphas=(1.0,)):
    """List cells; unlike the grid's, those on other instruments than keys may have several seeds."""
    return [
        Cell(one, activation, loss, "flow" if loss == "STFT" else gradient, seed, alpha)
        for one in instruments.split()
        for activation in activations
        for loss in losses.split()
        for alpha in alphas
        for seed in range(seeds)
    ]


def draw(cell, size=None):
    """Draw normal numbers that are the same for the same cell."""
    return np.random.default_rng(zlib.crc32(cell.name.encode())).normal(size=size)


def side(cell):
    """Return 1 or -1: models of a kind lie on both sides of a bar, evenly."""
    return 1 if (cell.seed + (cell.activation == "ELU")) % 2 else -1


def curves(of, loss, stages=("autoencoder",), spectra=LOSSES, epochs=50):
    """Make histories: `loss` takes cell, spectrum and the epochs from 0, and returns the loss of each."""
    parts = []
    for cell in of:
        for stage in stages:
            for spectrum in spectra:
                columns = {
                    "stage": stage,
                    "epoch": T[: epochs + 1],
                    "updates": 8 * T[: epochs + 1],
                    "spectrum": spectrum,
                }
                role = "train" if spectrum == cell.loss and stage != "lstm" else "side"
                values = loss(cell, spectrum, T.astype(float))[: epochs + 1]
                parts.append(pd.DataFrame(columns | {"role": role, "loss": values} | describe(cell)))
    return Records(WHOLE, pd.concat(parts), pd.DataFrame(), [])


def notes(of, note, pitches=range(40, 64, 4)):
    """Make notes: `note` takes cell, role, pitch, velocity and a random number, and returns a score or columns."""
    rows = []
    for cell in of:
        chance = iter(draw(cell, 5 * 5 * len(pitches)))
        for role in cell.roles:
            for pitch in pitches:
                for velocity in (25, 50, 75, 100, 127):
                    found = note(cell, role, pitch, velocity, next(chance))
                    found = found if isinstance(found, dict) else {"grade": GRADES[round(min(max(found, 0), 5))]}
                    label = {"role": role, "pitch": pitch, "velocity": velocity, "grade": "o", "pitch_heard": 0.0}
                    label |= {"onset": 0.0, "decay": 0.0, "release": 0.0, "target_brightness": 0.0, "noise": -10.0}
                    rows.append(label | found | describe(cell))
    return Records(WHOLE, pd.DataFrame(), pd.DataFrame(rows), [])


def about(of, fact):
    """Make facts of cells: `fact` takes a cell and returns columns."""
    rows = [{"device": "cpu"} | fact(cell) | describe(cell) for cell in of]
    return Records(WHOLE, pd.DataFrame(), pd.DataFrame(), [], pd.DataFrame(rows))


def by(relu, elu):
    """Return a loss of its own for each activation, in every spectrum."""
    return lambda cell, spectrum, t: np.broadcast_to(relu(cell, t) if cell.activation == "ReLU" else elu(cell, t), 51)


def level(value, spread=0.0):
    """Return a flat curve; models differ by `spread`."""
    return lambda cell, t: value * (1 + spread * side(cell)) + 0 * t


def ramp(change, spread=0.0):
    """Return a curve that ends (the mean of epochs 46 to 50) by a part of the first epoch above or below it."""
    return lambda cell, t: 1 + (change + spread * side(cell)) * np.clip((t - 1) / 45, 0, 1)


def mixed(one, other, many=5):
    """Return a curve that the first `many` seeds take from `one`, the rest from `other`."""
    return lambda cell, t: (one if cell.seed < many else other)(cell, t)


def kink(epoch, before=0.002, after=0.04):
    """Return a curve that falls slowly until an epoch, then fast."""
    return lambda cell, t: np.exp(-before * t - after * np.clip(t - epoch, 0, None))


def rough(amount):
    """Return a curve that jumps from epoch to epoch."""
    return lambda cell, t: np.exp(-t / 50 + amount * draw(cell, 51))


def saved(value, spread=0.0):
    """Return a curve that halves fast and whose level is `value` from the start."""
    return lambda cell, t: value * (1 + spread * side(cell)) * (0.5 + 0.5 * np.exp(-t / 5))


def first_of(elu):
    """Return Figures 1-3: STFT/ELU is `elu` times the others."""
    return lambda cell, spectrum, t: elu(cell, t) if (cell.loss, cell.activation) == ("STFT", "ELU") else 1 + 0 * t


def join(tau):
    """Return a start at five times the others' loss that decays with a time constant of `tau` epochs."""
    return lambda cell, t: 1 + 4 * np.exp(-t / tau)


def of_loss(other, stft=None):
    """Return a curve for the corrected models, and another one for STFT."""
    return lambda cell, spectrum, t: ((stft or level(1.0)) if cell.loss == "STFT" else other)(cell, t)


def of_alpha(ten):
    """Return a curve for a = 10; that of a = 1 ends at 1."""
    return lambda cell, spectrum, t: (ten if cell.elu_alpha == 10 else level(1.0))(cell, t)


def moving(cell, spectrum, t):
    return np.exp(-t / 20)


def alone_moving(cell, spectrum, t):
    return np.exp(-t / 20 * (cell.seed == 0 and cell.name.startswith("keys-ReLU-MFC")))


def flat(cell, spectrum, t):
    return 1 + 1e-7 * draw(cell, 51)


# What makes each claim plainly true, plainly false and undecidable: cells, maker, its arguments, then the three.
PUBLISHED = models(losses="MFC CQT", gradient="cut")
FIRST = models(losses="STFT MFC CQT", gradient="cut")
STFT = models()
SPEED = by(saved(1.0, 0.2), saved(1.0, 0.2))
AE, LSTM, TUNING = ({"stages": (stage,), "spectra": ("STFT",)} for stage in ("autoencoder", "lstm", "fine-tuning"))
CURVES = {
    "published-autoencoder-constant": (PUBLISHED, {}, flat, moving, alone_moving),
    "published-fine-tuning-constant": (PUBLISHED, {"stages": ("fine-tuning",)}, flat, moving, alone_moving),
    "elu-starts-higher": (FIRST, {}, *map(first_of, (level(2.0), level(0.5), level(1.0, 0.2)))),
    "elu-joins": (FIRST, {}, *map(first_of, (join(1.0), join(20), mixed(join(1.0), join(2.0))))),
    "elu-starts-above-relu": (STFT, AE, *(by(level(1), x) for x in (level(2), level(0.5), level(1, 0.2)))),
    "elu-joins-relu": (STFT, AE, *(by(level(1), x) for x in (join(0.8), join(20), mixed(join(0.8), join(2.0))))),
    "elu-plateau": (STFT, AE, *(by(kink(25), x) for x in (kink(25), kink(0), mixed(kink(25), kink(0))))),
    "relu-plateau": (STFT, AE, *(by(x, kink(0)) for x in (kink(25), kink(0), mixed(kink(25), kink(0))))),
    "elu-second-descent": (STFT, AE, *(by(level(1), x) for x in (kink(25), kink(40), mixed(kink(25), kink(38))))),
    "elu-steadier": (STFT, AE, *(by(rough(a), rough(b)) for a, b in ((0.05, 0.01), (0.01, 0.05), (0.03, 0.03)))),
    "relu-beneath": (
        STFT,
        AE,
        *(by(level(1), x) for x in (level(2), level(0.5), mixed(level(2), kink(3, 0, 9), 9))),
    ),
    "lstm-starts-alike": (
        STFT,
        LSTM,
        *(by(level(1), x) for x in (level(1.01), level(2), mixed(level(1), level(1.2)))),
    ),
    "lstm-elu-constant": (STFT, LSTM, *(by(ramp(0), x) for x in (ramp(0.01), ramp(0.5), mixed(ramp(0), ramp(-0.1))))),
    "lstm-relu-falls": (STFT, LSTM, *(by(x, ramp(0)) for x in (ramp(-0.3), ramp(0.1), ramp(-0.05, 0.1)))),
    "fine-tuning-elu-starts-lower": (
        STFT,
        TUNING,
        *(by(level(1), x) for x in (level(0.5), level(2.0), level(1.0, 0.2))),
    ),
    "fine-tuning-elu-constant": (
        STFT,
        TUNING,
        *(by(ramp(0), x) for x in (ramp(0.01), ramp(-0.5), mixed(ramp(0), ramp(-0.1)))),
    ),
    "fine-tuning-relu-rises": (STFT, TUNING, *(by(x, ramp(0)) for x in (ramp(0.3), ramp(-0.3), ramp(0, 0.1)))),
    "mfc-trains": (models(losses="MFC"), {}, *map(of_loss, (ramp(-0.5), level(1.0), ramp(-0.05, 0.1)))),
    "cqt-trains": (models(losses="CQT"), {}, *map(of_loss, (ramp(-0.5), level(1.0), ramp(-0.05, 0.1)))),
    "alpha-10-ends-higher": (
        models(activations=("ELU",), alphas=(1.0, 10.0)),
        AE,
        *map(of_alpha, (level(3.0), level(0.5), level(1.0, 0.2))),
    ),
    **dict.fromkeys(
        ("elu-faster", "elu-fewer-epochs"), (STFT, AE, by(kink(25), saved(0.1)), by(saved(0.1), kink(25)), SPEED)
    ),
}
for loss in ("MFC", "CQT", "MRSTFT"):
    CURVES[f"{loss.lower()}-lowers-stft-faster"] = (
        models(losses=f"STFT {loss}"),
        AE,
        *map(of_loss, (level(0.5), level(2.0), level(1.0, 0.2))),
    )
for loss in ("MFC", "CQT"):
    CURVES[f"{loss.lower()}-own-lower"] = (
        models(losses=f"STFT {loss}"),
        {"stages": ("fine-tuning",), "spectra": (loss,)},
        *map(of_loss, (level(0.5), level(2.0), level(1.0, 0.2))),
    )
    CURVES[f"stft-moves-{loss.lower()}"] = (STFT, {}, *(by(x, x) for x in (ramp(-0.5), ramp(0.1), ramp(-0.01, 0.1))))
for key, won in (("elu-ends-lower-stft", (10, 3, 8)), ("elu-not-lower-mfc", (3, 10, 8))):
    CURVES[key] = (STFT, {}, *(by(level(1), mixed(level(0.5), level(2), many)) for many in won))
for key, stage, instruments, winner in (
    ("lstm-relu-ends-lower", LSTM, "keys", "ReLU"),
    ("three-autoencoder", AE, "k+m+v", "ELU"),
    ("three-lstm", LSTM, "k+m+v", "ReLU"),
    ("three-fine-tuning", TUNING, "k+m+v", "ELU"),
    ("brass-autoencoder", AE, "brass1-3 brass1-5", "ELU"),
    ("brass1-autoencoder", AE, "brass1", "ReLU"),
    ("brass-lstm", LSTM, "brass1 brass1-3 brass1-5", "ReLU"),
    ("brass-fine-tuning", TUNING, "brass1 brass1-3 brass1-5", "ELU"),
):
    made = [by(level(1), x) for x in (level(0.5), level(2.0), level(1.0, 0.2))]
    CURVES[key] = (models(instruments), stage, *(made if winner == "ELU" else [made[1], made[0], made[2]]))


def graded(better):
    """Grade the kind of cell that `better` picks well (True), badly (False) or as the others (None)."""
    return [
        lambda cell, role, pitch, velocity, chance, good=good: (
            3 + 0.3 * chance if not better(cell) else {True: 5, False: 0}.get(good, 3 + 2 * side(cell))
        )
        for good in (True, False, None)
    ]


def always(*scores):
    """Give all notes one score."""
    return [lambda cell, *_, one=one: one for one in scores]


def brighter(by_velocity, spread=0.0, chancy=0.05):
    """Let notes get brighter with velocity by so many octaves, on one brass instrument more than on the next."""

    def note(cell, role, pitch, velocity, chance):
        rise = by_velocity + (spread * (BRASS.index(role) - 1) if role in BRASS else 0)
        return {"brightness": 9 + rise * (velocity - 25) / 102 + chancy * chance}

    return note


def heard(share):
    """Let the right pitch be heard in a share of the notes; half of the models in none where it is a half."""
    return lambda cell, role, pitch, velocity, chance: {
        "pitch_heard": float(cell.seed % 2 if share == 0.5 else chance < 10 * share - 5)
    }


def shaped(share):
    """Let a share of the notes begin and decay as their targets; half of the models none of them where it is a half."""

    def note(cell, role, pitch, velocity, chance):
        good = cell.seed % 2 if share == 0.5 else chance < 10 * share - 5
        off = [0.0, 0.0, 0.0] if good else [(0.3, 0, 0), (0, -9, 0), (0, 0, 12)][pitch % 3]
        return dict(zip(("onset", "decay", "release"), off, strict=True))

    return note


def noisy(broad, spread=0.0):
    """Let the noise between the partials lie at -10 dB, that of MRSTFT models elsewhere."""
    return lambda cell, *_: {"noise": broad + spread * side(cell) if cell.loss == "MRSTFT" else -10.0}


def ahead(of, step):
    """Grade one model ahead of the others by a step, or by chance."""
    return lambda cell, role, pitch, velocity, chance: (
        3 + (step or 2 * side(cell)) * cell.name.startswith(of) + 0.8 * chance
    )


FIRST_SET = models("keys mallet voice k+m+v", seeds=4)
BRASS_SETS = models("brass1 brass1-3 brass1-5", seeds=4)
ALL_SETS = models(" ".join(INSTRUMENT_SETS), seeds=1)
KEYS_AND_MORE = models("mallet", losses="STFT MFC CQT MRSTFT", seeds=8)
SOUNDS = {
    "published-low": (PUBLISHED, *always(0, 4), lambda cell, *_: 4 * (cell.name.startswith("keys-ELU-MFC-cut-3"))),
    "relu-sounds-better": (FIRST_SET, *graded(lambda cell: cell.activation == "ReLU")),
    "elu-medium": (FIRST_SET, *always(2, 4), lambda cell, *_: 2 * (cell.seed % 2)),
    "relu-high": (FIRST_SET, *always(4, 1), lambda cell, *_: 4 * (cell.seed % 2)),
    "relu-pitch": (FIRST_SET, *map(heard, (1.0, 0.0, 0.5))),
    "relu-envelope": (FIRST_SET, *map(shaped, (1.0, 0.0, 0.5))),
    "keys-velocity-not-heard": (models(seeds=3), brighter(0.0), brighter(0.5), brighter(0.1, chancy=0.5)),
    "brass-velocity-heard": (
        models("brass1-3", seeds=1),
        brighter(0.5, 0.02),
        brighter(-0.5, 0.02),
        brighter(0.1, 0.3),
    ),
    "brass1-elu-low": (BRASS_SETS, *always(0, 3), lambda cell, *_: 2 * (cell.seed % 2)),
    "brass1-relu-medium": (BRASS_SETS, *always(2, 0), lambda cell, *_: 2 * (cell.seed % 2) * (cell.seed > 2)),
    "brass-several-high": (BRASS_SETS, *always(4, 1), lambda cell, *_: 5 * (cell.seed % 2)),
    "several-sound-better": (ALL_SETS, *graded(lambda cell: len(cell.roles) > 1)),
    "brass-elu-worse-with-five": (BRASS_SETS, *(ahead("brass1-3-ELU", step) for step in (2, -2, 0))),
    "brass-relu-best-with-five": (BRASS_SETS, *(ahead("brass1-5-ReLU", step) for step in (2, -2, 0))),
    **{
        f"{loss.lower()}-sounds-better": (KEYS_AND_MORE, *graded(lambda cell, loss=loss: cell.loss == loss))
        for loss in ("MFC", "CQT", "MRSTFT")
    },
    "mrstft-less-noise": (KEYS_AND_MORE, noisy(-12), noisy(-8), noisy(-10, 3)),
    "corrected-relu-sounds-better": (KEYS_AND_MORE, *graded(lambda cell: cell.activation == "ReLU")),
}


def mean_of(elu, spread=0.0):
    """Let activations of ReLU have a mean of 0.5 deviations, those of ELU another one."""
    return lambda cell: {
        "activation_mean": (elu if cell.activation == "ELU" else 0.5) + spread * side(cell),
        "activation_std": 1.0,
    }


SECONDS = ("seconds_autoencoder", "seconds_lstm", "seconds_fine-tuning")


def time_of(elu, spread=0.0):
    """Let each stage of ReLU take 100 s, those of ELU another time."""
    return lambda cell: dict.fromkeys(SECONDS, (elu if cell.activation == "ELU" else 100) * (1 + spread * side(cell)))


def cost_of(corrected, spread=0.0):
    """Let each stage of STFT take 100 s, those of a corrected loss another time."""
    return lambda cell: dict.fromkeys(
        SECONDS,
        100 if cell.loss == "STFT" else corrected * (1 + spread * side(cell)),
    )


def priced(better, corrected, spread=0):
    """Grade corrected models better by so much, more or less, and let them cost another time."""
    graded = notes(KEYS_AND_MORE, lambda cell, *_: 2 + (better + spread * side(cell)) * (cell.loss != "STFT"))
    return replace(graded, about=about(KEYS_AND_MORE, cost_of(corrected)).about)


def timed(elu, loss):
    """Join a time to curves; "elu-less-time" and "elu-costs-more" need both."""
    return replace(curves(STFT, loss, **AE), about=about(STFT, elu).about)


FASTER = by(kink(25), saved(0.1))
EVEN = by(saved(1.0), saved(1.0))


def joined(lstm, autoencoder):
    """Grade models by a hidden number of theirs, and let the two stages' losses follow it by signs, or not.

    Mallet notes are louder, so losses are higher, and sound better: that says nothing of a stage.
    """

    def loss(sign, other):
        def of(cell, spectrum, t):
            follows = sign * merit(cell) if sign else draw(replace(cell, seed=other + cell.seed))
            return np.exp(follows) * (10 if cell.instruments == "mallet" else 1)

        return of

    def merit(cell):
        return np.tanh(draw(cell))

    of = models("keys mallet", losses="STFT MFC CQT")
    parts = [
        curves(
            of,
            lambda *of, sign=sign, other=other: loss(sign, other)(*of) + 0 * T,
            stages=(stage,),
            spectra=("STFT",),
            epochs=3,
        ).history
        for stage, sign, other in (("lstm", lstm, 40), ("autoencoder", autoencoder, 120))
    ]

    def score(cell, *_):
        return 1.5 + 1.5 * merit(cell) + (2 if cell.instruments == "mallet" else 0)

    return replace(notes(of, score, range(40, 44)), history=pd.concat(parts))


WORLDS = {
    "elu-nearer-zero": [lambda x=x: about(STFT, mean_of(*x)) for x in ((0.1,), (-0.9,), (0.5, 0.2))],
    "elu-costs-more": [lambda x=x: timed(time_of(*x), EVEN) for x in ((120,), (90,), (100, 0.1))],
    "elu-less-time": [
        lambda: timed(time_of(110), FASTER),
        lambda: timed(time_of(110), EVEN),
        lambda: timed(time_of(100, 0.3), EVEN),
    ],
    **{
        f"{loss}-costs-more": [lambda x=x: about(KEYS_AND_MORE, cost_of(*x)) for x in ((120,), (90,), (100, 0.2))]
        for loss in ("mfc", "cqt", "mrstft")
    },
    **{
        f"{loss}-sounds-better-at-cost": [lambda x=x: priced(*x) for x in ((2, 110, 1), (-1, 110, 1), (1, 400, 1))]
        for loss in ("mfc", "cqt", "mrstft")
    },
    **{
        f"{loss}lstm-goes-with-grade": [lambda x=x: joined(*x) for x in ((-1, 0), (1, 0), (0, 0))]
        for loss in ("", "mfc-", "cqt-")
    },
    "lstm-matters-most": [lambda x=x: joined(*x) for x in ((-1, 0), (0, -1), (0, 0))],
}
for key, (of, options, *three) in CURVES.items():
    WORLDS[key] = [lambda of=of, one=one, options=options: curves(of, one, **options) for one in three]
for key, (of, *three) in SOUNDS.items():
    WORLDS[key] = [lambda of=of, one=one: notes(of, one) for one in three]


def test_every_claim_is_tested():
    assert set(WORLDS) | QUESTIONS == set(BY_KEY)
    assert len(BY_KEY) == len(CLAIMS)


# Claims on each and every model: one that is otherwise is enough, and leaves nothing undecided.
EVERY = {"published-autoencoder-constant", "published-fine-tuning-constant", "published-low"}
CASES = [
    (key, verdict) for key in sorted(BY_KEY.keys() - QUESTIONS) for verdict in VERDICTS[: 2 if key in EVERY else 3]
]


def test_one_model_is_enough_against_a_claim_on_every_one():
    for key in EVERY:
        found = check(WORLDS[key][2](), [BY_KEY[key]]).iloc[0]
        assert found.verdict == "does not hold" and found.reason == f"{found.models - 1} of {found.models} models"


@pytest.mark.parametrize(("key", "verdict"), CASES)
def test_a_claim_is_told_true_from_false_from_undecided(key, verdict):
    found = check(WORLDS[key][VERDICTS.index(verdict)](), [BY_KEY[key]]).iloc[0]
    assert found.verdict == verdict, found.to_dict()
    if key in EVERY:
        assert np.isnan(found.lowest) and f"of {found.models} models" in found.reason
    elif "are equal" in found.reason:
        assert np.isnan(found.lowest) and np.isnan(found.p)
    else:
        assert found.lowest <= found["size"] <= found.highest and found.p <= 1
        assert (found.p <= 0.05) == (verdict != "undecided")
    assert found.models > 0 and found.unit
    assert (verdict == "undecided") <= bool(found.reason)
    compared = verdicts.COMPARISON.match(found.effect) is not None
    assert found["size"] >= 0 or compared or found.unit == "rank correlation", "a reader should turn no sign round"
    assert not compared or "−" not in verdicts.in_words(found)


def test_what_differs_between_relu_and_elu_says_nothing_of_a_stage():
    """ReLU has both the lower loss of the LSTM and the better sound, whichever its seed."""
    of = models("keys mallet")
    history = curves(of, by(level(1), level(2)), ("lstm", "autoencoder"), ("STFT",), epochs=3).history
    order = np.random.default_rng(0).permutation(20)
    history.loss *= np.exp(order[history.seed + 10 * (history.stage == "lstm")] / 100)
    graded = notes(of, lambda cell, role, pitch, velocity, chance: 1 + 2 * (cell.activation == "ReLU") + 0.5 * chance)
    found = check(replace(graded, history=history), [BY_KEY["lstm-goes-with-grade"], BY_KEY["lstm-matters-most"]])
    assert list(found.verdict) == ["undecided", "undecided"]


def test_a_correlation_is_as_strong_whichever_its_sign():
    hidden, *noise = np.random.default_rng(3).normal(size=(3, 40))
    one, other = (pd.Series(sign * hidden + part / 2) for sign, part in zip((1, -1), noise, strict=True))
    found = judge_rank_correlation(one, pd.Series(hidden), less=other)
    assert abs(found.size) < 0.2 and found.verdict == "undecided"
    assert judge_rank_correlation(other, pd.Series(hidden), less=pd.Series(noise[0])).verdict == "holds"


def grid_records(profile, epochs=50):
    """Make records of every cell of a profile, in which all losses fall alike and all notes are alike and dark."""
    of = cells(profile)
    stages = ("autoencoder", "lstm", "fine-tuning")
    falling = curves(of, by(join(5), join(5)), stages, epochs=epochs)
    facts = mean_of(0.1), time_of(110)
    known = about(of, lambda cell: facts[0](cell) | facts[1](cell)).about
    quality = notes(of, lambda *_: {"grade": "o", "brightness": 0.0}, pitches=(40, 50)).quality
    return Records(PROFILES[profile], falling.history, quality, [], known)


@pytest.fixture(scope="module")
def quick():
    return grid_records("quick", epochs=8)


@pytest.fixture(scope="module")
def checked(quick):
    return check(quick).set_index("key")


def test_every_claim_is_told_on_a_whole_grid(checked):
    absent = {claim.key for claim in CLAIMS if claim.key.startswith("mrstft")} | {"alpha-10-ends-higher"}
    assert set(checked.verdict) <= set(VERDICTS) and set(checked.index) == set(BY_KEY) - absent
    untestable = checked[checked.verdict == "cannot be tested"]
    short = {"elu-plateau", "relu-plateau", "elu-second-descent", "relu-beneath"}
    alike = {"lstm-goes-with-grade", "lstm-matters-most", "mfc-lstm-goes-with-grade", "cqt-lstm-goes-with-grade"}
    silent = {"keys-velocity-not-heard", "brass-velocity-heard"}
    assert set(untestable.index) == QUESTIONS | short | alike | silent
    assert untestable["size"].isna().all() and untestable.reason.ne("").all()
    assert (untestable.models == 0).all()


def test_a_comparison_is_told_the_way_it_came_out():
    row = {"size": -45.0, "lowest": -59.7, "highest": -30.2, "unit": "% of the other's loss", "models": 3, "reason": ""}
    row |= {"effect": "How far ELU's loss ends below ReLU's; more than 0.", "by_set": "keys -51.8 (2); brass1 3 (1)"}
    row["over"] = "sets"
    assert verdicts.in_words(pd.Series(row)) == (
        "ELU's loss ends 45 % above ReLU's, 95 % interval 30.2 to 59.7 (n = 3, interval over sets). "
        "By set: keys 51.8 above (2); brass1 3 below (1)."
    )
    both = row | {"highest": 2.5, "by_set": "", "over": "pairs", "reason": "open"}
    assert "95 % interval 2.5 below to 59.7 above (n = 3); open." in verdicts.in_words(pd.Series(both))
    positive = row | {"size": 45.0, "lowest": 30.2, "highest": 59.7, "by_set": ""}
    assert "ends 45 % below ReLU's, 95 % interval 30.2 to 59.7 (" in verdicts.in_words(pd.Series(positive))
    large = row | {"over": "pairs", "size": -3031.2, "lowest": -7124.9, "highest": 65.4, "by_set": "keys 1 (2)"}
    expected = "ELU's loss ends at 31.3 times ReLU's, 95 % interval 0.346 to 72.2 (n = 3). By set: keys 0.99 (2)."
    assert verdicts.in_words(pd.Series(large)) == expected


def test_a_plateau_needs_enough_epochs(checked):
    for key in ("elu-plateau", "relu-plateau", "elu-second-descent"):
        assert checked.reason[key] == "needs 50 epochs, these models ran 8"
    assert checked.reason["relu-beneath"] == "needs 30 epochs, these models ran 8"


def test_one_pair_is_reported_without_a_verdict(checked):
    for key in ("three-autoencoder", "three-lstm", "three-fine-tuning", "brass1-autoencoder"):
        row = checked.loc[key]
        assert (row.verdict, row.reason, row.models) == ("undecided", "one pair has no interval", 1)
        assert np.isfinite(row["size"]) and np.isnan(row.lowest) and np.isnan(row.highest)


def test_the_same_records_give_the_same_numbers(quick, checked):
    again = check(replace(quick, history=quick.history.sample(frac=1, random_state=0))).set_index("key")
    pd.testing.assert_frame_equal(again, checked)


@pytest.mark.parametrize("columns", [True, False])
def test_empty_records_test_nothing_and_raise_nothing(quick, columns):
    frames = [frame[:0] if columns else pd.DataFrame() for frame in (quick.history, quick.quality, quick.about)]
    found = check(Records(quick.profile, *frames[:2], [], frames[2]))
    assert set(found.verdict) == {"cannot be tested"} and found.reason.ne("").all()


def test_a_grid_is_not_asked_of_models_that_it_has_not():
    of = cells(WHOLE)
    graded = notes([cell for cell in of if cell.instruments == "mallet"], lambda *_: 3)
    asked = check(graded).set_index("key")
    without = check(replace(graded, profile=replace(WHOLE, cut=False, mrstft_models={}, keys_ten=0))).set_index("key")
    gone = set(asked.index) - set(without.index)
    assert gone == {key for key in BY_KEY if key.startswith(("published", "mrstft", "alpha-10-ends"))}
    pd.testing.assert_frame_equal(without.drop(columns="regime"), asked.loc[without.index].drop(columns="regime"))


@pytest.mark.parametrize("kept", ["keys-ReLU-STFT-flow-0", "keys-ELU-STFT-flow-0", "mallet-ELU-CQT-cut-0"])
def test_a_single_model_proves_nothing(quick, kept):
    frames = [frame[frame.cell == kept] for frame in (quick.history, quick.quality, quick.about)]
    found = check(Records(quick.profile, *frames[:2], [], frames[2])).set_index("key")
    plain = found[found.verdict.isin(("holds", "does not hold"))]
    assert set(plain.index) <= EVERY and (plain.models == 1).all(), "but for claims on each and every model"


def test_facts_that_were_not_kept_are_not_missed(quick):
    bare = replace(quick, about=quick.about.drop(columns=["activation_mean", "activation_std"]))
    found = check(bare, [BY_KEY["elu-nearer-zero"]]).iloc[0]
    assert (found.verdict, found.reason) == ("cannot be tested", "activation_mean is not on record")


def test_times_of_different_devices_are_not_compared(quick):
    known = quick.about.assign(device=np.where(quick.about.activation == "ELU", "cuda", "cpu"))
    assert check(replace(quick, about=known), [BY_KEY["elu-costs-more"]]).verdict[0] == "cannot be tested"


def test_a_loss_is_timed_beside_models_of_other_seeds_on_the_same_device():
    costly = about(KEYS_AND_MORE, cost_of(120))
    old = (costly.about.training_loss == "STFT") & (costly.about.seed == costly.about.seed.min())
    claim = BY_KEY["cqt-costs-more"]
    slow = costly.about.assign(device=np.where(old, "old", "new"))
    slow.loc[old, list(SECONDS)] *= 9
    found = check(replace(costly, about=slow), [claim]).iloc[0]
    assert found["size"] == pytest.approx(20) and found.models == check(costly, [claim]).models[0]
    apart = replace(costly, about=slow[(slow.training_loss == "CQT") | old])
    assert check(apart, [claim]).reason[0] == "no models of CQT and STFT that were trained on the same device"


def test_claims_are_whole():
    for claim in CLAIMS:
        assert claim.statement.endswith(".") and claim.effect.endswith(".") and claim.place[0].isdigit()
        assert claim.key == claim.key.lower() and " " not in claim.key
        compares = claim.effect.startswith(("How", "By how much"))
        assert compares == bool(verdicts.COMPARISON.match(claim.effect)), claim.effect
    ours = [claim.ours for claim in CLAIMS]
    assert ours == sorted(ours) and 0 < sum(ours) < len(ours), "the paper's claims come before ours"
    assert {key for keys in REVISED.values() for key in keys.split()} <= BY_KEY.keys()


def test_errors_of_a_claim_are_not_taken_for_missing_data(quick):
    broken = replace(CLAIMS[0], measure=lambda records: records.history["misspelt"])
    with pytest.raises(KeyError):
        check(quick, [broken])


def test_intervals_are_students():
    few, many = judge(np.array([1.0, 2.0]), "grades", above=0), judge(np.linspace(1, 2, 20), "grades", above=0)
    assert (few.verdict, many.verdict) == ("undecided", "holds"), "two values alone have a wide interval"
    for found, values in ((few, [1.0, 2.0]), (many, np.linspace(1, 2, 20))):
        test = scipy.stats.ttest_1samp(values, 0)
        np.testing.assert_allclose((found.lowest, found.highest), test.confidence_interval(), rtol=1e-9)
        assert found.p == pytest.approx(test.pvalue)
    equal = judge(np.full(3, 2.0), "grades", above=2)
    assert (equal.verdict, equal.reason) == ("does not hold", "all 3 are equal, so there is no interval")
    assert np.isnan(equal.lowest) and np.isnan(equal.p), "no spread does not mean that the mean is known for sure"
    assert "diverged" in judge(np.array([1.0, np.inf, 2.0]), "%").reason
    share = judge(np.array([10.0, 60.0, 100.0]), "% of the notes", above=50, within=(0, 100))
    assert (share.lowest, share.highest, share.verdict) == (0, 100, "undecided")
    assert judge(np.array([1.0, np.nan]), "grades", of="model").reason == "one model has no interval"
    with pytest.raises(Untestable, match="no pair"):
        judge(np.array([np.nan]), "grades")


def test_twice_as_much_and_half_as_much_are_equally_far():
    one, other = pd.Series([2.0, 0.5, 8.0]), pd.Series([1.0, 1.0, 2.0])
    above, below = (judge(ratio.of(one, other), "%", above=0, ratio=ratio) for ratio in (ABOVE, BELOW))
    mean = scipy.stats.gmean(one / other)
    assert (above.size, below.size) == (pytest.approx(100 * (mean - 1)), pytest.approx(100 * (1 - mean)))
    test = scipy.stats.ttest_1samp(np.log(one / other), 0)
    ends = np.exp(test.confidence_interval())
    np.testing.assert_allclose((above.lowest, above.highest), 100 * (ends - 1))
    np.testing.assert_allclose((below.highest, below.lowest), 100 * (1 - ends))
    assert above.p == pytest.approx(test.pvalue) == below.p
    assert (above.leans, below.leans) == (True, False)


def test_bars_of_a_ratio_are_percentages():
    values = pd.Series([30.0, 31.0, 29.0])
    assert (
        judge(values, "%", above=25, ratio=BELOW).verdict
        == judge(values, "%", below=35, ratio=BELOW).verdict
        == "holds"
    )
    assert judge(values, "%", above=20, below=27, ratio=ABOVE).verdict == "does not hold"


DRAWS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "uniform": lambda rng, size: rng.uniform(-1, 1, size=size),
    "grades": lambda rng, size: rng.choice([0, 2, 3, 3, 4, 5], size=size) - 17 / 6,
}


@pytest.mark.parametrize("count", [5, 10, 22])
@pytest.mark.parametrize("drawn", DRAWS.values(), ids=DRAWS)
def test_intervals_cover_what_they_say(drawn, count):
    """The percentile bootstrap, which was here before, covers 84 % of these means with 5 values."""
    rng = np.random.default_rng(0)
    found = [judge(values, "") for values in drawn(rng, (1000, count))]
    assert 0.93 <= np.mean([effect.lowest <= 0 <= effect.highest for effect in found]) <= 0.97


def of_sets(**values):
    """Return values indexed by set and seed."""
    return pd.concat(
        {name: pd.Series(part).rename_axis("seed") for name, part in values.items()}, names=["instruments"]
    )


def test_one_set_does_not_rule_the_mean():
    """Ten seeds of keys on one side, three sets on the other."""
    found = judge(of_sets(keys=[1.0] * 9 + [1.1], mallet=[-1.0], voice=[-1.0], brass1=[-1.2]), "grades", above=0)
    assert found.size < 0
    assert found.by_set == "keys 1.01 (10); mallet -1 (1); voice -1 (1); brass1 -1.2 (1)"
    assert found.verdict == "undecided"


def test_a_statement_on_several_sets_is_not_tested_by_one_of_them():
    some = models("keys mallet", seeds=4)
    found = check(notes(some, lambda cell, *_: 5 * (cell.activation == "ReLU")), [BY_KEY["relu-sounds-better"]]).iloc[0]
    assert (found.verdict, found.reason) == ("cannot be tested", "no pair of models, or no model, of voice, k+m+v")


@pytest.mark.parametrize("counts", [(5, 5), (10, 3), (3, 3, 3)])
def test_intervals_over_sets_cover_what_they_say(counts):
    rng = np.random.default_rng(1)
    offsets = np.arange(len(counts)) - (len(counts) - 1) / 2  # sets differ; over them the mean is 0
    covered = []
    for _ in range(1500):
        drawn = {f"set{i}": offsets[i] + rng.normal(size=count) * (1 + i) for i, count in enumerate(counts)}
        effect = judge(of_sets(**drawn), "")
        covered.append(effect.lowest <= 0 <= effect.highest)
    assert 0.92 <= np.mean(covered) <= 0.98  # a little narrow where the set of fewest models varies most


def test_a_single_model_of_a_kind_weighs_as_much_as_several():
    values = pd.concat({"ReLU": of_sets(keys=[1.0] * 9, mallet=[2.0, 2.1]), "ELU": of_sets(keys=[0.0])})
    values = values.rename_axis(["activation", "instruments", "seed"])
    found = judge(values, "grades", above=0)
    assert found.by_set == "keys 0.5 (10); mallet 2.05 (2)" and found.size == pytest.approx((0.5 + 2.05) / 2)
    assert found.over == "sets"


def test_the_smallest_of_several_effects_is_judged_as_one_of_several():
    """Of five rivals that are as good, one is ahead by chance more often than an interval of its own would say."""
    rng = np.random.default_rng(0)
    verdicts_of = [
        judge_each([judge(values, "", above=0) for values in rng.normal(size=(5, 3))]).verdict for _ in range(1000)
    ]
    assert verdicts_of.count("does not hold") <= 30 and verdicts_of.count("holds") <= 2  # in 1,000; 25 and 0 expected
    better, worse = (judge(shift + np.array([0.0, 0.1, 0.2]), "", above=0) for shift in (1, -1))
    assert judge_each([better, better]).verdict == "holds"
    found = judge_each([better, worse])
    assert (found.verdict, found.size) == ("does not hold", pytest.approx(-0.9)) and found.p == 2 * worse.p


@pytest.mark.parametrize("layout", [(5, 5, *[3] * 12), (3,) * 14])
def test_taking_out_the_means_of_few_seeds_does_not_make_a_correlation(layout):
    rng, decided = np.random.default_rng(0), 0
    kinds = np.repeat(np.arange(len(layout)), layout)
    for _ in range(100):
        one, other = (
            pd.Series(part) - pd.Series(part).groupby(kinds).transform("mean")
            for part in rng.normal(size=(2, len(kinds)))
        )
        decided += judge_rank_correlation(one, other, kinds=len(layout)).verdict != "undecided"
    assert decided <= 10, "of 100, where 5 are expected"


def test_every_model_is_counted():
    found = judge_largest(pd.Series([1.0, 2.0, 9.0]), "grades", below=3)
    assert (found.size, found.verdict, found.reason) == (9, "does not hold", "2 of 3 models")
    assert np.isnan(found.p) and np.isnan(found.lowest)


def test_holm_takes_back_what_chance_may_have_decided():
    checked = pd.DataFrame({"verdict": ["holds", "does not hold", "holds", "undecided", "holds"]})
    checked["p"] = [0.001, 0.03, 0.012, 0.5, np.nan]  # against 0.05 / 4, / 3, / 2, / 1
    assert list(holm(checked)) == ["holds", "undecided", "holds", "undecided", "holds"]


@pytest.mark.parametrize(
    ("won", "verdict"), [(10, "holds"), (9, "holds"), (8, "undecided"), (7, "undecided"), (6, "does not hold")]
)
def test_almost_all_is_nine_of_ten(won, verdict):
    assert judge_almost_all(pd.Series([True] * won + [False] * (10 - won))).verdict == verdict


def test_models_of_several_instruments_are_set_beside_those_of_the_same_epochs():
    def said(bad, profile):
        records = notes(ALL_SETS, lambda cell, *_: 0 if cell.instruments == bad else 2)
        return check(replace(records, profile=PROFILES[profile]), [BY_KEY["several-sound-better"]]).iloc[0]

    assert said("k+m+v", "recorded-best").verdict == "cannot be tested", "each model of one has other epochs"
    assert said("k+m+v", "recorded")["size"] < 0


def test_models_of_several_instruments_are_set_beside_those_of_the_same_cost():
    profile = replace(WHOLE, own_epochs={"brass1": (250, 250, 100)})
    records = notes(ALL_SETS, lambda cell, *_: 0 if cell.instruments == "brass1" else 2)
    records = replace(records, profile=profile)
    asked = [BY_KEY["several-sound-better"]]
    assert check(records, asked)["size"][0] == 0, "brass1 has other epochs than all that it could be set beside"
    made = {"brass1": 500, "brass1-3": 520, "brass1-5": 750}
    history = pd.DataFrame(
        [describe(cell) | {"stage": "autoencoder", "updates": made.get(cell.instruments, 400)} for cell in ALL_SETS]
    )
    found = check(replace(records, history=history), asked).iloc[0]
    assert found.by_set == "k+m+v 0 (2); brass1-3 2 (2)", "not brass1-5, which made half as many updates again"


def test_rank_correlation_is_spearmans():
    one, other = np.random.default_rng(0).normal(size=(2, 30))
    found = judge_rank_correlation(pd.Series(one), pd.Series(one + other))
    np.testing.assert_allclose(found.size, scipy.stats.spearmanr(one, one + other).statistic)
    assert 0 < found.lowest < found.size < found.highest and found.models == 30
    assert found.verdict == "does not hold" and found.p < 0.01
    with pytest.raises(Untestable, match="needs 5 models"):
        judge_rank_correlation(pd.Series(one[:4]), pd.Series(other[:4]))


@pytest.mark.parametrize("count", [10, 22])
def test_the_interval_of_a_rank_correlation_covers_what_it_says(count):
    rng = np.random.default_rng(2)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's of normal pairs with a correlation of 0.6
    covered = []
    for _ in range(150):
        one, other = rng.normal(size=(2, count))
        found = judge_rank_correlation(pd.Series(one), pd.Series(0.6 * one + 0.8 * other))
        covered.append(found.lowest <= truth <= found.highest)
    assert np.mean(covered) >= 0.9


def test_the_interval_of_kendalls_tau_covers_what_it_says():
    """Of grades, of which many are equal, over as many entries as Table 3 has of the STFT."""
    rng = np.random.default_rng(3)

    def grades(count):
        one, other = rng.normal(size=(2, count))
        return (np.searchsorted([-1.2, -0.5, 0, 0.5, 1.2], values) for values in (one, one + other))

    truth = scipy.stats.kendalltau(*grades(20_000)).statistic
    found = [tau_interval(scipy.stats.kendalltau(*grades(14)).statistic, 14) for _ in range(400)]
    assert 0.9 < np.mean([lowest <= truth <= highest for lowest, highest in found]) < 0.98
    assert np.isnan(tau_interval(0.5, 4)).all() and tau_interval(1, 14)[1] < 1
