"""Small experiments beside the grid: none is lost or trained twice, and they train and grade as the grid does."""

import os
import signal
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

from singlib import nsynth
from singlib.grid import PROFILES, Cell
from singlib.runs import records, study
from singlib.runs.training import STAGES, Trainer


def experiment(name):
    """Stand for a training; other processes import it from here."""
    with Path("trained.txt").open("a") as trained:
        trained.write(f"{name} ")
    if name == "fails":
        raise FloatingPointError("the loss is not finite")
    if name == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"results": [{"result": 1}], "results-history": [{"epoch": 0}, {"epoch": 1}]}


def test_what_is_finished_is_kept_and_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"1 of 3 experiments failed: fails \(the loss is not finite\)"):
        study.run(tmp_path, "results", dict.fromkeys(["a", "fails", "b"]), experiment, "about")
    for part in tmp_path.glob("parts/*/*"):
        part.unlink()  # what is joined is enough
    study.run(tmp_path, "results", dict.fromkeys(["a", "b"]), experiment, "about")
    assert Path("trained.txt").read_text().split() == ["a", "fails", "b"]
    assert sorted(pd.read_parquet("results.parquet").experiment) == ["a", "b"]
    assert len(pd.read_parquet("results-history.parquet")) == 4
    with pytest.raises(ValueError, match=r"results.parquet has 1 experiments of other settings .* \(b is one\)"):
        study.run(tmp_path, "results", {"a": None, "b": {"rate": 2}, "c": None}, experiment, "about")
    assert "c" not in Path("trained.txt").read_text()


def test_two_commands_train_each_experiment_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study"])
    monkeypatch.chdir(tmp_path)
    folder, names = tmp_path / "kept", dict.fromkeys(["a", "b"])
    both = [threading.Thread(target=study.run, args=(folder, "results", names, experiment, "about")) for _ in range(2)]
    for command in both:
        command.start()
    for command in both:
        command.join()
    assert sorted(Path("trained.txt").read_text().split()) == ["a", "b"]
    assert sorted(pd.read_parquet(folder / "results.parquet").experiment) == ["a", "b"]
    other = pd.read_parquet(folder / "results.parquet").assign(result=2)  # of an earlier training, and joined since
    other.to_parquet(folder / "results.parquet")
    study.run(folder, "results", names | {"c": None}, experiment, "about")
    assert list(pd.read_parquet(folder / "results.parquet").result) == [1, 1, 1]


def test_a_killed_training_is_told_and_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectionError, match="a training was killed; run this again"):
        study.run(tmp_path, "results", dict.fromkeys(["a", "is killed"]), experiment, "about")
    assert list(pd.read_parquet("results.parquet").experiment) == ["a"]


def test_it_trains_and_grades_as_the_grid_does(smoke_root):
    smoke = records.load("smoke")
    cell, profile = Cell("keys"), PROFILES["smoke"]
    notes = nsynth.load_notes(profile.data, cell.roles)
    study.prepare(profile.threads)
    trainer = Trainer(cell, profile, notes, torch.device("cpu"))
    trained = pd.DataFrame([row for stage in STAGES for row in study.train_stage(trainer, stage)])
    recorded = smoke.history[smoke.history.cell == cell.name]
    both = recorded.merge(trained, on=["stage", "epoch", "spectrum"], suffixes=("", "_here"))
    assert len(both) == len(recorded) == len(trained) and (both.loss == both.loss_here).all()
    quality = smoke.quality[smoke.quality.cell == cell.name].head(3)
    labels = [nsynth.Label(*row) for row in quality[list(nsynth.Label._fields)].itertuples(index=False)]
    graded = pd.DataFrame(study.grade_notes(trainer, notes, labels))
    assert list(graded.grade) == list(quality.grade)
    assert graded.level.to_numpy() == pytest.approx(quality.level.to_numpy(), abs=0.1)  # 16 bit of a file lie between


def test_what_is_called_after_each_epoch_sees_its_losses_and_those_that_are_only_watched_can_be_left_out():
    cell, profile = Cell("keys", loss="CQT"), PROFILES["smoke"]
    notes = nsynth.load_notes(profile.data, cell.roles)
    seen, losses = {}, {}
    for watched in (True, False):
        trainer = Trainer(cell, profile, notes, torch.device("cpu"))
        if not watched:
            study.watch_nothing_else(trainer)
        seen[watched] = []
        losses[watched] = study.train_stage(trainer, "autoencoder", after=seen[watched].append)
    assert [set(means) for means in seen[True]] == [{"CQT", "STFT", "MFC"}] * (profile.epochs[0] + 1)
    left = [row for row in losses[True] if row["spectrum"] != "MFC"]
    assert losses[False] == left and len(left) == 2 * len(seen[False]), "what is trained is the same to the bit"
