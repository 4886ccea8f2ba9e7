"""Training: the same numbers again, resumed or not; cut trains nothing but the LSTM; flow trains."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_root
from singlib.grid import PAPER_LOSSES, PROFILES, Cell
from singlib.network import sing
from singlib.network.generation import load_model
from singlib.nsynth import VELOCITIES, Label, load_notes
from singlib.runs import run_folder, training
from singlib.runs.run_folder import Run

GOLDEN = Path(__file__).parent / "golden_history.csv"
GOLDEN_QUALITY = Path(__file__).parent / "golden_quality.csv"
TINY = replace(PROFILES["smoke"], name="tiny", epochs=(2, 1, 1), subset=None)
MUON = replace(
    TINY, optimiser="muon", learning_rate=(2e-3, 1e-3, 1e-3), warm_up=3, schedule="cosine", averaged_epochs=2
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(make_root(tmp_path)))
    return tmp_path


def quiet(_line):
    """Swallow the progress lines."""


def golden(path, ours, recipe):
    """Return the kept numbers; keep ours, and fail, where there are none."""
    if not path.exists():
        ours.assign(recipe=recipe).to_csv(path, index=False, float_format="%.6g")
        pytest.fail(f"{path.name} was missing: written anew, look at the difference and commit it")
    kept = pd.read_csv(path)
    assert (kept.recipe == recipe).all(), f"another recipe: delete {path.name}, run this again"
    return kept


def test_golden_history_and_quality(root):
    """The recipe's numbers: when they change on purpose, raise run_folder.RECIPE (or GRADING) and delete the file."""
    cells = [Cell("brass1", "ReLU", "STFT"), Cell("brass1", "ELU", "CQT"), Cell("brass1", "ReLU", "MFC")]
    done = [training.train_cell(cell, TINY, "cpu", quiet) for cell in cells]
    done.append(training.train_cell(Cell("brass1", "ReLU", "MRSTFT"), MUON, "cpu", quiet))
    ours, quality = (
        pd.concat([pd.read_csv(run.folder / name).assign(cell=run.cell.name) for run in done], ignore_index=True)
        for name in ("history.csv", "quality.csv")
    )
    kept = golden(GOLDEN, ours, run_folder.RECIPE)
    labels = ["cell", "stage", "epoch", "updates", "spectrum", "role"]
    assert ours[labels].equals(kept[labels])
    first = (ours.stage == "autoencoder") & (ours.epoch < 2)  # later epochs multiply the rounding of a machine
    for rows, precision in ((first, 2e-5), (~first, 1e-3)):
        np.testing.assert_allclose(ours.loss[rows], kept.loss[rows], precision, err_msg="raise run_folder.RECIPE")
    kept = golden(GOLDEN_QUALITY, quality, run_folder.GRADING)
    labels = ["cell", "role", "pitch", "velocity", "grade"]
    assert quality[labels].equals(kept[labels]), "other notes or grades: raise run_folder.GRADING"
    for measure in set(quality) - set(labels):
        np.testing.assert_allclose(quality[measure], kept[measure], rtol=0.02, atol=2e-3, err_msg=measure)


def trainer_of(cell, *roles):
    """Return the trainer of a tiny model."""
    return training.Trainer(cell, TINY, load_notes("mini", roles or ("brass1",)), torch.device("cpu"))


def test_the_seed_decides_weights_and_order_and_the_loss_neither():
    cells = Cell("brass1", seed=1), Cell("brass1", loss="CQT", seed=1), Cell("brass1", seed=2)
    one, pair, other = map(trainer_of, cells)
    assert not changed(weights(one.modules()), pair.modules())
    assert len(changed(weights(one.modules()), other.modules())) == len(one.modules().state_dict())

    def order(trainer, *of):
        return tuple(torch.cat(list(trainer.batches(*of))).tolist())

    assert order(one, "lstm", 1) == order(pair, "lstm", 1) and sorted(order(one, "lstm", 1)) == list(range(15))
    epochs = [(stage, epoch) for stage in training.STAGES for epoch in (1, 2)]
    assert len({order(trainer, *of) for trainer in (one, other) for of in epochs}) == 2 * len(epochs)


@pytest.mark.parametrize("stage", ["lstm", "fine-tuning"])
def test_each_note_is_trained_by_its_own_label(monkeypatch, stage):
    roles, some = ("brass1", "brass2", "brass3"), [40, 3, 25]
    trainer, seen = trainer_of(Cell("brass1-3"), *roles), []
    trainer.encode()
    forward = trainer.sing.sequence.forward
    monkeypatch.setattr(
        trainer.sing.sequence, "forward", lambda *given: (seen.append(torch.stack(given[:3]).T), forward(*given))[1]
    )
    trainer.step(stage, torch.tensor(some), None)
    labels = load_notes("mini", roles).labels()
    wanted = [(roles.index(role), pitch, VELOCITIES.index(velocity)) for role, pitch, velocity in labels]
    assert seen and all(part.tolist() == [list(wanted[note]) for note in some] for part in seen)


def test_a_set_with_epochs_of_its_own_is_trained_for_these(root):
    profile = replace(TINY, own_epochs={"brass1": (1, 2, 0)})
    run = training.train_cell(Cell("brass1"), profile, "cpu", quiet)
    last = pd.read_csv(run.history_file).groupby("stage").epoch.max()
    assert [last[stage] for stage in training.STAGES] == [1, 2, 0] == run.facts()["sizes"]["epochs"]


def test_the_activations_on_record_are_those_of_the_six_layers():
    trainer = trainer_of(Cell("brass1", "ELU"))
    outputs, signal = [], sing.pad(trainer.waveforms[: TINY.batch])
    with torch.no_grad():
        for layer in (*trainer.autoencoder.encoder, *trainer.autoencoder.decoder):
            signal = layer(signal)
            if isinstance(layer, torch.nn.ELU):
                outputs.append(signal.clone())
    assert len(outputs) == 6
    means, deviations = ([float(getattr(part, of)()) for part in outputs] for of in ("mean", "std"))
    wanted = {"activation_mean": np.mean(means), "activation_std": np.mean(deviations)}
    assert trainer.activations() == pytest.approx(wanted, rel=1e-5)


class Killed(Exception):
    """Stands for a kill after an epoch's checkpoint."""


@pytest.mark.parametrize(
    ("cell", "profile"),
    [
        (Cell("brass1", "ReLU", "STFT"), TINY),
        (Cell("brass1", "ELU", "CQT", "cut"), TINY),
        (Cell("brass1", "ReLU", "MRSTFT"), MUON),
    ],
    ids=["STFT", "CQT cut", "MRSTFT, Muon"],
)
def test_a_run_resumed_after_every_epoch_equals_an_unbroken_one(root, monkeypatch, cell, profile):
    unbroken = training.train_cell(cell, replace(profile, name="unbroken"), "cpu", quiet)

    def die(line):
        if "/" in line and "left" in line:
            raise Killed

    broken = Run(cell, replace(profile, name="broken"))
    kills = 0
    while broken.state() != "done":
        assert kills < 12, "the run does not get on"
        try:
            training.train_cell(cell, broken.profile, "cpu", die)
        except Killed:
            kills += 1
    assert kills == 7  # epochs 0-2, 0-1, 0-1
    for name in ("history.csv", "quality.csv", "sing.safetensors"):
        ours, theirs = (run.folder / name for run in (broken, unbroken))
        if name.endswith("csv"):
            assert ours.read_bytes() == theirs.read_bytes()
        else:
            one, other = (load_model(file).sing.state_dict() for file in (ours, theirs))
            assert all(torch.equal(one[key], other[key]) for key in other)
    for file in (unbroken.folder / "generated").iterdir():
        assert (broken.folder / "generated" / file.name).read_bytes() == file.read_bytes()


def weights(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(before, module):
    return {key for key, value in module.state_dict().items() if not torch.equal(before[key], value)}


@pytest.mark.parametrize("loss", ["MFC", "CQT"])
@pytest.mark.parametrize("gradient", ["cut", "flow"])
def test_cut_trains_the_lstm_alone_and_flow_everything(loss, gradient):
    notes = load_notes("mini", ("brass1",))
    trainer = training.Trainer(Cell("brass1", "ELU", loss, gradient), TINY, notes, torch.device("cpu"))
    moved = {}
    for stage in training.STAGES:
        before = weights(trainer.modules())
        trainer.encode()
        optimiser = trainer.optimiser(stage)
        first, _ = trainer.run_epoch(stage, 0, optimiser)
        assert changed(before, trainer.modules()) == set(), "epoch 0 only evaluates"
        last, updates = trainer.run_epoch(stage, 1, optimiser)
        moved[stage] = changed(before, trainer.modules())
        if stage == "lstm":
            assert updates == 2 * 9 and last["codes"] < first["codes"]
        elif gradient == "cut":
            assert [last[name] for name in PAPER_LOSSES] == pytest.approx(
                [first[name] for name in PAPER_LOSSES], rel=1e-6
            )
    assert {key.split(".")[1] for key in moved["lstm"]} == {"sequence"}
    if gradient == "cut":
        assert not moved["autoencoder"] and not moved["fine-tuning"]
    else:
        assert {key.split(".")[0] for key in moved["autoencoder"]} == {"encoder", "sing"}
        assert {key.split(".")[1] for key in moved["fine-tuning"]} == {"sequence", "decoder"}


def test_history_has_every_spectrum_of_every_epoch_and_stage(root):
    history = pd.read_csv(training.train_cell(Cell("brass1", "ReLU", "MFC"), TINY, "cpu", quiet).history_file)
    expected = {
        (stage, epoch, spectrum, "train" if (spectrum == "MFC" and stage != "lstm") else "side")
        for stage, epochs in zip(training.STAGES, TINY.epochs, strict=True)
        for epoch in range(epochs + 1)
        for spectrum in PAPER_LOSSES
    } | {("lstm", epoch, "codes", "train") for epoch in (0, 1)}
    assert set(zip(history.stage, history.epoch, history.spectrum, history.role, strict=True)) == expected
    assert len(history) == len(expected)


def test_a_loss_outside_the_grid_is_a_loss_of_its_own_cells_alone():
    trainer = training.Trainer(
        Cell("brass1", loss="MRSTFT"), TINY, load_notes("mini", ("brass1",)), torch.device("cpu")
    )
    trainer.encode()
    for stage in training.STAGES:
        means, _ = trainer.run_epoch(stage, 1, trainer.optimiser(stage))
        rows = training._rows(trainer.cell, stage, 1, 1, means)
        trained = {row["spectrum"] for row in rows if row["role"] == "train"}
        assert trained == {"codes" if stage == "lstm" else "MRSTFT"}
        assert {row["spectrum"] for row in rows} - {"codes"} == {*PAPER_LOSSES, "MRSTFT"}


def test_epoch_losses_are_note_weighted_means():
    """With 15 notes in batches of 8 and 7, an evaluation equals that in one batch."""
    notes = load_notes("mini", ("brass1",))
    values = [
        training.Trainer(Cell("brass1"), replace(TINY, batch=batch), notes, torch.device("cpu")).run_epoch(
            "autoencoder", 0, None
        )[0]
        for batch in (8, 15)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_levels_that_are_not_kept_are_computed_again(monkeypatch):
    notes = load_notes("mini", ("brass1",))
    means = []
    for memory, kept in ((1e9, {"STFT", "MFC", "CQT"}), (4e6, {"CQT", "MFC"}), (0, set())):
        monkeypatch.setattr(training, "LEVELS", memory)
        trainer = training.Trainer(Cell("brass1"), TINY, notes, torch.device("cpu"))
        assert set(trainer.levels) == kept
        means.append(trainer.run_epoch("autoencoder", 0, None)[0])
    for other in means[1:]:
        assert other == pytest.approx(means[0], rel=1e-6)


def test_the_average_takes_the_place_of_the_last_weights(root):
    ends = []
    for epochs in (0, 1):
        profile = replace(TINY, name=f"average{epochs}", averaged_epochs=epochs)
        trainer = training.Trainer(Cell("brass1"), profile, load_notes("mini", ("brass1",)), torch.device("cpu"))
        history, *_ = training._train(trainer, Run(Cell("brass1"), profile), quiet)
        ends.append(([row for row in history if row["stage"] == "autoencoder"], weights(trainer.modules())))
    assert ends[0][0] == ends[1][0], "it is trained as without"
    assert not any(torch.equal(ends[0][1][key], ends[1][1][key]) for key in ends[0][1])


def test_products_in_bfloat16_change_the_losses_little():
    notes, device = load_notes("mini", ("brass1",)), torch.device("cpu")
    full, half = (training.Trainer(Cell("brass1"), replace(MUON, bfloat16=on), notes, device) for on in (False, True))
    for stage in training.STAGES:
        means = []
        for trainer in (full, half):
            trainer.encode()
            means.append(trainer.run_epoch(stage, 1, trainer.optimiser(stage))[0])
        assert means[1] == pytest.approx(means[0], rel=0.02) and means[1] != means[0]
    assert {tensor.dtype for tensor in half.modules().state_dict().values()} == {torch.float32}


def test_a_loss_that_is_not_finite_stops_with_its_place(root):
    with pytest.raises(FloatingPointError, match=r"brass1-ReLU-STFT-flow-0: the .*STFT.* loss is not finite in"):
        training.train_cell(Cell("brass1"), replace(TINY, learning_rate=1e30), "cpu", quiet)
    assert Run(Cell("brass1"), replace(TINY, learning_rate=1e30)).state() == "begun"


def test_a_model_that_falls_silent_says_so_once_its_autoencoder_is_trained(root, monkeypatch):
    def last_relu_dies(trainer, *arguments):
        layer = trainer.autoencoder.decoder[4]
        torch.nn.init.constant_(layer.bias, -1e3)
        return trained(trainer, *arguments)

    lines, trained = [], training.Trainer.run_epoch
    training.train_cell(Cell("brass1"), replace(TINY, epochs=(0, 0, 0)), "cpu", lines.append)
    assert not [line for line in lines if "silent" in line]
    monkeypatch.setattr(training.Trainer, "run_epoch", last_relu_dies)
    training.train_cell(Cell("brass1", seed=1), replace(TINY, epochs=(0, 0, 0)), "cpu", lines.append)
    said = [line for line in lines if "silent" in line]
    assert len(said) == 1
    assert said[0].startswith("brass1-ReLU-STFT-flow-1: after its autoencoder every note is silent")


def test_provenance_and_generated_notes(root):
    import json

    import soundfile

    run = training.train_cell(Cell("brass1", "ELU", elu_alpha=10), TINY, "cpu", quiet)
    about = json.loads((run.folder / "cell.json").read_text())
    assert about["cell"]["elu_alpha"] == 10 and about["sizes"]["channels"] == TINY.channels
    assert about["packages"]["torch"].startswith("2.13.0") and about["device"] and about["threads"] == 1
    assert set(about["seconds"]) == set(training.STAGES) and about["updates"]["lstm"] == 18
    assert set(about["cpu_seconds"]) == set(training.STAGES) and min(about["cpu_seconds"].values()) > 0
    assert len(about["data_digest"]) == 64
    assert set(about["activations"]) == {"activation_mean", "activation_std"}
    made = sorted(file.name for file in (run.folder / "generated").iterdir())
    assert "brass1-062-100.flac" in made and len(made) == 4
    info = soundfile.info(run.folder / "generated" / made[0])
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (16_000, 1, 64_000, "PCM_16")

    model = load_model(run.weights_file)
    waveform, _ = soundfile.read(run.folder / "generated" / "brass1-062-100.flac")
    again = model.generate([Label("brass1", 62, 100)])[0].clip(-1, 1)
    assert np.abs(again - waveform).max() < 1e-4  # 16 bit
    for label, message in [
        (Label("keys", 62, 100), "unknown instrument 'keys'; choose one of brass1"),
        (Label("brass1", 63, 100), "pitch 63 of brass1 is outside the trained 38 to 62"),
        (Label("brass1", 62, 99), "unknown velocity 99; choose one of 25, 50, 75, 100, 127"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.generate([label])


def test_a_run_graded_by_an_older_grading_is_graded_again_without_training(root, monkeypatch):
    run = training.train_cell(Cell("brass1"), TINY, "cpu", quiet)
    kept = (run.folder / "quality.csv").read_bytes()
    weights = run.weights_file.stat().st_mtime_ns
    (run.folder / "quality.csv").write_text("as it was\n")
    monkeypatch.setattr(run_folder, "GRADING", run_folder.GRADING + 1)
    assert run.state() == "ungraded"
    monkeypatch.setattr(training, "_train", lambda *_: pytest.fail("trained again"))
    training.train_cell(run.cell, TINY, "cpu", quiet)
    assert run.state() == "done" and (run.folder / "quality.csv").read_bytes() == kept
    assert run.weights_file.stat().st_mtime_ns == weights
