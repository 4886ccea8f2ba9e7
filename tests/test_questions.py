"""Each claim on an experiment, with made-up models of which it is plainly true, plainly false and undecidable."""

import importlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import PROJECT, ROOT, make_root
from singlib.claims import CLAIMS, VERDICTS, check, questions
from singlib.grading.grades import GRADES
from singlib.grid import PROFILES, Cell
from singlib.nsynth import ROLES, selection
from singlib.nsynth.notes import NOISE_FROM
from singlib.report import verdicts
from singlib.runs import notebooks
from singlib.runs.records import Records

SEEDS = (0, 1, 2)
NOTHING = Records(PROFILES["recorded"], pd.DataFrame(), pd.DataFrame(), [])
BY_KEY = {claim.key: claim for claim in CLAIMS if claim.measure.func.__module__ == questions.__name__}


def spread(value, by):
    """Let the three seeds lie around a value: near it, or on both sides of whatever bar is there."""
    return [value + by * step for step in (-1, 0, 1)]


def pitches(by=0.02, **own):
    """Make notes of which half, or the given share, sounds at its own pitch (table_between=0.1, beyond=0.2)."""
    rows = []
    for instruments in ("keys", "mallet"):
        for pitch_input in ("table", "octave", "wave"):
            for held_out in ("no", "known", "between", "beyond"):
                given = [own[key] for key in (f"{pitch_input}_{held_out}", held_out) if key in own]
                for seed, share in zip(SEEDS, spread(given[0], by) if given else [0.5] * 3, strict=True):
                    heard = np.where(np.arange(100) < round(100 * share), "its own", "none")
                    same = {"instruments": instruments, "seed": seed, "input": pitch_input, "held_out": held_out}
                    rows += [same | {"heard": each} for each in (*heard, *["not tracked"] * 9)]
    return {"pitches": pd.DataFrame(rows)}


def codes(by=0.02, scaled=0.0, elu_relu=0.5, relu_elu=0.5, early=1.0, scale=1.0, unpredicted=1.0):
    """Make LSTMs whose loss is 1 with ReLU, 2 with ELU, and between them, or beyond, with interventions.

    Autoencoders of two activations have a higher loss of their own, which is no fault of the codes.
    """
    plain = dict.fromkeys(
        [("ReLU", "ReLU", *how) for how in ((False, "no"), (True, "no"), (False, "each dimension"))], 0
    )
    plain |= {("ELU", "ELU", False, "no"): 1}
    changed = {
        ("ELU", "ELU", False, "each dimension"): scaled,
        ("ELU", "ReLU", False, "no"): elu_relu,
        ("ReLU", "ELU", False, "no"): relu_elu,
        ("ELU", "ELU", True, "no"): early,
    }
    rows = []
    for kind, way in (plain | changed).items():
        for seed, step in zip(SEEDS, spread(0, by), strict=True):
            of = dict(zip(("encoder", "decoder", "early", "scaled"), kind, strict=True)) | {"seed": seed}
            mixed = 0.1 * (kind[0] != kind[1])
            of |= {"autoencoder": 0.5 + mixed, "lstm": 1 + way + step * (kind in changed) + mixed}
            of |= {"scale": 1.0, "unpredicted": 1.0}
            rows.append(of | ({"scale": scale + step, "unpredicted": unpredicted + step} if kind[0] == "ELU" else {}))
    return {"codes": pd.DataFrame(rows)}


def activations(by=0.02, grades=("o", "o", "o"), updates="paper", **losses):
    """Make models that end a stage at a loss of 1, or at what is given (SiLU_lstm=1.5); and a note of each.

    At another rate than the best the loss is 1 higher. Notes are graded "o", but for SELU's.
    """
    rows, history = [], []
    best = {("ReLU", 1): 3e-4, ("ELU", 1): 6e-4, ("ELU", 10): 1e-3}
    kinds = [(name, 1, 3e-4) for name in ("SELU", "SiLU")]
    kinds += [(name, 1, rate) for name in ("ReLU", "ELU") for rate in (3e-4, 6e-4, 1.2e-3)]
    kinds += [("ELU", 10, rate) for rate in (3e-4, 1e-3, 3e-3)]
    for name, alpha, rate in kinds:
        for seed, step, grade in zip(SEEDS, spread(0, by), grades, strict=True):
            model = {"instruments": "keys", "activation": name, "elu_alpha": float(alpha), "seed": seed}
            model |= {"updates": updates, "learning_rate": rate if updates == "paper" else 5e-3}
            rows.append(model | {"grade": grade if name == "SELU" else "o"})
            model |= {"spectrum": "STFT"}
            if rate == 3e-3:
                history.append(model | {"stage": "autoencoder", "epoch": -1, "loss": np.inf})  # it diverged
                continue
            for stage in ("autoencoder", "lstm"):
                kind = f"{name}{alpha if alpha > 1 else ''}_{stage}"
                end = losses[kind] + step if kind in losses else 1.0
                end += rate != best.get((name, alpha), rate)
                history += [
                    model | {"stage": stage, "epoch": epoch, "loss": loss} for epoch, loss in ((0, 9), (1, end))
                ]
    return {"activations": pd.DataFrame(rows), "activations-history": pd.DataFrame(history)}


FEW, WIDE = (-0.1, 0, 0.1), (-1.5, 0, 1.5)


def more_notes(steps=FEW, **means):
    """Make models with notes of two grades, so that their means are what is given (ReLU_all=2.5), or 3.

    Their loss at the end of the LSTM stage is what is given (ReLU_all_lstm=0.8), or 1, after an epoch of 9.
    """
    rows, history = [], []
    for instruments in ("brass1-5", "k+m+v"):
        for share in ("eighth", "all", "all and noise"):
            for activation in ("ReLU", "ELU"):
                for seed, step in zip(SEEDS, steps, strict=True):
                    kind = f"{activation}_{share.replace(' ', '_')}"
                    mean = means.get(kind, 3) + (step if kind in means else 0)
                    model = {"instruments": instruments, "share": share, "activation": activation, "seed": seed}
                    better = np.arange(100) < round(100 * mean / 5)
                    rows += [model | {"grade": GRADES[5 * good], "in_eighth": True} for good in better]
                    loss = means.get(f"{kind}_lstm", 1) + (step / 10 if f"{kind}_lstm" in means else 0)
                    model |= {"stage": "lstm", "spectrum": "STFT"}
                    history += [model | {"epoch": epoch, "loss": each} for epoch, each in ((1, 9), (2, loss))]
                    if share == "all":  # notes that the others are not graded on
                        rows.append(model | {"grade": GRADES[-1], "in_eighth": False})
    tables = {"more-notes": pd.DataFrame(rows), "more-notes-history": pd.DataFrame(history)}
    return {
        name: table[(table.instruments == "brass1-5") | (table.share != "all and noise")]
        for name, table in tables.items()
    }


# Of each claim: a world in which it is true, one in which it is false, one in which it is open.
WORLDS = {
    "unseen-pitches": [pitches(by, table_between=x, table_beyond=x) for x, by in ((0, 0), (0.3, 0.02), (0.05, 0.05))],
    "unseen-between": [pitches(by, table_between=x) for x, by in ((0, 0), (0.3, 0.02), (0.05, 0.05))],
    "octave-between": [pitches(by, octave_between=x) for x, by in ((0.8, 0.02), (0.5, 0.02), (0.6, 0.1))],
    "wave-between": [pitches(by, wave_between=x) for x, by in ((0.8, 0.02), (0.5, 0.02), (0.6, 0.1))],
    "wave-above-octave": [pitches(by, wave_between=x) for x, by in ((0.6, 0.02), (0.4, 0.02), (0.5, 0.1))],
    "unseen-beyond": [pitches(by, beyond=x) for x, by in ((0.02, 0.01), (0.3, 0.02), (0.05, 0.05))],
    "unseen-notes": [pitches(by, known=x) for x, by in ((0.5, 0.02), (0.2, 0.02), (0.4, 0.05))],
    "elu-codes-larger": [codes(by, scale=x) for x, by in ((2, 0.02), (1, 0.02), (1.5, 0.2))],
    "elu-codes-unpredicted": [codes(by, unpredicted=x) for x, by in ((2, 0.02), (0.5, 0.02), (1, 0.2))],
    "scaled-codes-learned": [codes(by, scaled=x) for x, by in ((0.2, 0.02), (0.8, 0.02), (0.5, 0.2))],
    "scaled-gap-closes": [codes(by, scaled=x) for x, by in ((0.2, 0.02), (0.8, 0.02), (0.5, 0.2))],
    "relu-decoder-decides": [codes(by, elu_relu=x) for x, by in ((0.2, 0.02), (0.8, 0.02), (0.5, 0.2))],
    "elu-decoder-decides": [codes(by, relu_elu=x) for x, by in ((0.8, 0.02), (0.2, 0.02), (0.5, 0.2))],
    "early-elu-stalls": [codes(by, early=x) for x, by in ((0.8, 0.02), (0.2, 0.02), (0.5, 0.2))],
    "tuned-to-relu": [activations(by, ELU_lstm=x) for x, by in ((1, 0.01), (2, 0.02), (1.05, 0.1))],
    "selu-sounds-better": [activations(grades=x) for x in (("+",) * 3, ("-",) * 3, ("-", "o", "+"))],
    "selu-sounds-better-later": [
        activations(grades=x, updates="best") for x in (("+",) * 3, ("-",) * 3, ("-", "o", "+"))
    ],
    "silu-ends-lower": [activations(by, SiLU_autoencoder=x) for x, by in ((0.8, 0.02), (1.2, 0.02), (1, 0.2))],
    "silu-between": [activations(by, SiLU_lstm=x) for x, by in ((1.5, 0.02), (2.5, 0.02), (2, 0.2))],
    "alpha-10-at-its-rate": [activations(by, ELU10_autoencoder=x) for x, by in ((2, 0.02), (1, 0.02), (1.3, 0.2))],
    "more-data": [
        *(more_notes(ReLU_eighth_lstm=0.8, ReLU_all_lstm=x) for x in (0.9, 0.7)),
        more_notes(ELU_eighth_lstm=1.25, ReLU_all_lstm=0.8, steps=WIDE),
    ],
    "relus-lead-steady": [more_notes(ReLU_all=x) for x in (3, 5)] + [more_notes(ReLU_all=3.5, steps=WIDE)],
    "noise-costs-little": [
        more_notes(ReLU_all_and_noise=x, ELU_all=0, steps=steps) for x, steps in ((3, FEW), (2, FEW), (2.7, WIDE))
    ],
}


def test_every_claim_on_an_experiment_is_tested():
    assert set(WORLDS) == set(BY_KEY)


@pytest.fixture
def check_in(tmp_path, monkeypatch):
    """Return a function that checks a claim where some tables are all that is there."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    (tmp_path / "data" / "questions").mkdir(parents=True)

    def check_in(tables, key):
        for name, table in tables.items():
            table.assign(regime="by hand").to_parquet(tmp_path / "data" / "questions" / f"{name}.parquet")
        return check(NOTHING, [BY_KEY[key]]).iloc[0]

    return check_in


@pytest.mark.parametrize("key", WORLDS)
def test_a_claim_is_told_true_from_false_from_undecided(key, check_in):
    for verdict, tables in zip(VERDICTS, WORLDS[key], strict=False):
        found = check_in(tables, key)
        assert found.verdict == verdict, found.to_dict()
        if "are equal" not in found.reason:
            assert found.lowest <= found["size"] <= found.highest and (found.p <= 0.05) == (verdict != "undecided")
        assert found.regime == "by hand" and found.models >= len(SEEDS)
        assert "−" not in verdicts.in_words(found), "a reader should turn no sign round"


def test_the_best_rate_is_taken_and_one_that_diverged_is_not(check_in):
    found = check_in(activations(0, ELU10_autoencoder=1.5), "alpha-10-at-its-rate")
    assert found["size"] == pytest.approx(50) and found.models == 3


def test_an_experiment_that_was_not_run_names_its_script(check_in):
    found = check_in({}, "more-data")
    assert found.verdict == "cannot be tested" and "data/questions/more_notes.py" in found.reason
    found = check_in(activations(updates="paper"), "selu-sounds-better-later")
    assert found.verdict == "cannot be tested" and "updates best" in found.reason
    half = {name: table[table.activation != "SiLU"] for name, table in activations().items()}
    assert check_in(half, "silu-between").reason == "no model of the kind SiLU, 0.0003 is trained yet"


def test_models_that_play_nothing_say_nothing_of_what_they_were_not_trained_on(check_in):
    found = check_in(pitches(no=0.1, between=0.0), "unseen-between")
    assert (found.verdict, found.reason) == (
        "cannot be tested",
        "of their trained notes the models play 10 % in tune, too few to say more",
    )
    found = check_in(
        more_notes(**{f"{name}_{share}": 1 for name in ("ReLU", "ELU") for share in ("eighth", "all")}),
        "relus-lead-steady",
    )
    assert found.verdict == "cannot be tested" and "mean grade is 1" in found.reason


def test_a_lead_that_is_none_cannot_shrink(check_in):
    assert check_in(more_notes(ReLU_eighth_lstm=1.2), "more-data").reason.endswith("ReLU has no lead to lose")


def test_a_model_that_diverged_later_still_has_its_autoencoder(check_in):
    tables = activations(0, ELU10_autoencoder=1.5)
    history = tables["activations-history"]
    late = history[(history.elu_alpha == 10) & (history.learning_rate == 1e-3) & (history.stage == "lstm")]
    tables["activations-history"] = pd.concat([history, late.assign(stage="fine-tuning", epoch=-1, loss=np.inf)])
    assert check_in(tables, "alpha-10-at-its-rate")["size"] == pytest.approx(50)


def test_the_notebook_draws_an_experiment_that_has_just_begun(tmp_path, monkeypatch):
    """It is part of every report, whatever is trained by then."""
    root = make_root(tmp_path / "root")
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    (root / "data" / "questions").unlink()
    (root / "data" / "questions").mkdir()
    for name, table in activations(updates="best").items():
        begun = table[table.activation == "ReLU"]
        facts = {"regime": "by hand", "experiment": "best-ReLU", "experiment_seconds": 1.0, "device": "cpu"}
        begun.assign(**facts).to_parquet(root / "data" / "questions" / f"{name}.parquet")
    notebooks.execute(root, "07-questions", root / "figures" / "07.ipynb", {"profile": "recorded"})
    shown = (root / "figures" / "07.ipynb").read_text()
    assert "Mean grade of ReLU, ELU and SELU" in shown and "has no model with updates paper" in shown


@pytest.fixture(scope="module")
def script():
    """Return a function that imports a script of the experiments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "data" / "questions")
        yield importlib.import_module


@pytest.fixture
def tiny_script(script, monkeypatch):
    """Return a function that imports one whose models are tiny and of the notes that are here."""
    small = {"data": "mini", "channels": 8, "dimension": 4, "hidden": 8, "layers": 1, "epochs": (2, 1, 1)}
    small |= {"own_epochs": {}}

    def tiny_script(name):
        module = script(name)
        for constant in ("PROFILE", "BEST"):
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, replace(getattr(module, constant), **small))
        if name == "pitches":
            made = {"brass1-0": (Cell("brass1"), module.BEST)}
            monkeypatch.setattr(module, "EXPERIMENTS", made)
        elif name == "codes":
            monkeypatch.setattr(module, "EARLY", np.inf)
        elif name == "activations":
            wanted = ("paper-ReLU-1-0.0003-0", "paper-SELU-1-0.0003-0", "paper-ELU-1-0.0003-0", "paper-ELU-10-0.001-0")
            made = {key: module.EXPERIMENTS[key] for key in wanted}
            made = {
                key: (regime, cell, replace(sizes, **small), last) for key, (regime, cell, sizes, last) in made.items()
            }
            monkeypatch.setattr(module, "EXPERIMENTS", made)
        else:
            monkeypatch.setattr(module, "UPDATES", (2, 2, 2))
            monkeypatch.setattr(module, "GRADED", 4)
            monkeypatch.setitem(NOISE_FROM, ROLES["mini"]["brass5"], 128)
        return module

    return tiny_script


@pytest.mark.parametrize(
    ("name", "experiments", "answered"),
    [
        ("pitches", ["brass1-0"], []),
        ("codes", ["ReLU-ReLU-0", "ELU-ELU-0", "ELU-ReLU-0", "ReLU-ELU-0"], None),
        ("activations", None, ["tuned-to-relu", "selu-sounds-better", "alpha-10-at-its-rate"]),
        (
            "more_notes",
            [f"k+m+v-{share}-{name}-0" for share in ("eighth", "all") for name in ("ReLU", "ELU")],
            ["more-data"],
        ),
    ],
)
def test_what_a_script_writes_is_what_claims_read(name, experiments, answered, tiny_script, check_in, monkeypatch):
    """Hours of training depend on it. Tiny models play nothing, and of one seed: but no column is missed."""
    with monkeypatch.context() as patch:
        patch.setenv("SINGLIB_ROOT", str(ROOT))
        module = tiny_script(name)
        tables = [module.train(each) for each in experiments or module.EXPERIMENTS]
    tables = {key: pd.concat([pd.DataFrame(each[key]) for each in tables]) for key in tables[0]}
    asked = questions.about(name.replace("_", "-"))
    found = {claim.key: check_in(tables, claim.key) for claim in asked}
    measured = [key for key, claim in found.items() if np.isfinite(claim["size"])]
    assert measured == ([claim.key for claim in asked] if answered is None else answered)
    reasons = {claim.reason for key, claim in found.items() if key not in measured}
    assert all("too few to say more" in why or "too low to say more" in why or "no model" in why for why in reasons)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("instruments", ["keys", "mallet", "brass1-5"])
def test_every_pitch_class_between_is_trained_at_another_octave(script, instruments, seed):
    """Else an input of octave and pitch class could not succeed."""
    kinds = script("pitches").hold_out(selection.labels("nsynth-test", Cell(instruments).roles), seed)
    classes = {kind: {label.pitch % 12 for label in kinds if kinds[label] == kind} for kind in ("no", "between")}
    assert classes["between"] <= classes["no"]
    pitches_of = {
        kind: {label.pitch for label in kinds if kinds[label] == kind} for kind in ("no", "between", "beyond")
    }
    assert pitches_of["between"] and pitches_of["beyond"]
    assert not pitches_of["no"] & (pitches_of["between"] | pitches_of["beyond"])
    known = {(label.role, label.pitch) for label in kinds if kinds[label] == "known"}
    assert known and known <= {(label.role, label.pitch) for label in kinds if kinds[label] == "no"}
