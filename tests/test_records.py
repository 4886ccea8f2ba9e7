"""Records: never half-written, never silently reused, never lost."""

import fcntl
import json
import platform
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from conftest import make_root
from singlib import nsynth
from singlib.files import replacing
from singlib.grid import PROFILES, Cell, Profile
from singlib.runs import records, run_folder
from singlib.runs.run_folder import Run
from singlib.runs.training import train_cell

SMOKE = PROFILES["smoke"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(make_root(tmp_path)))
    return Run(Cell("brass1"), SMOKE)


def checkpoint(run):
    run.save_checkpoint({"weight": np.arange(3.0)}, {"stage": "lstm", "epoch": 4})


def test_states(run):
    assert run.state() == "missing" and run.load_checkpoint() is None
    checkpoint(run)
    assert run.state() == "begun"
    tensors, about = run.load_checkpoint()
    assert tensors["weight"].tolist() == [0, 1, 2] and (about["stage"], about["epoch"]) == ("lstm", 4)
    run.finish({})
    assert run.state() == "done" and run.load_checkpoint() is None
    assert [file.name for file in sorted(run.folder.iterdir())] == ["cell.json", "done.json"]


CHANGES = {
    "activation (ReLU -> ELU)": lambda patch: Run(Cell("brass1", "ELU"), SMOKE),
    "channels (16 -> 17)": lambda patch: Run(Cell("brass1"), replace(SMOKE, channels=17)),
    "optimiser (adam -> muon)": lambda patch: Run(Cell("brass1"), replace(SMOKE, optimiser="muon")),
    "the notes (other files -> those in data/mini now)": lambda patch: (
        patch.setattr(nsynth, "digest", lambda *_: "other"),
        Run(Cell("brass1"), SMOKE),
    )[1],
    "recipe (1 -> 1000000)": lambda patch: (patch.setattr(run_folder, "RECIPE", 10**6), Run(Cell("brass1"), SMOKE))[1],
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_records_of_another_recipe_are_stale_and_set_aside(run, monkeypatch, what, finished):
    checkpoint(run)
    if finished:
        run.finish({})
    other = CHANGES[what](monkeypatch)
    other.folder = run.folder
    assert other.state() == "stale" and other.stale_because() == what and other.load_checkpoint() is None
    aside = other.set_aside()
    assert aside.is_dir() and other.state() == "missing"
    run.folder = aside
    assert run.state() == ("done" if finished else "begun"), "what was computed is still there"


@pytest.mark.parametrize("finished", [True, False])
def test_training_another_recipe_moves_the_old_records_and_overwrites_none(run, finished):
    small, said = replace(SMOKE, epochs=(1, 1, 1)), []
    run = Run(run.cell, small)
    checkpoint(run)
    if finished:
        run.finish({})
        run.write_history([{"stage": "lstm"}])
    before = {file.name: file.read_bytes() for file in run.folder.iterdir()}
    assert train_cell(run.cell, replace(small, batch=7), log=said.append).state() == "done"
    assert "batch (8 -> 7) changed; old records moved to" in said[0]
    (aside,) = (run.folder.parent / ".stale").iterdir()
    assert {file.name: file.read_bytes() for file in aside.iterdir()} == before


# The fields of a profile that say which cells there are and what is written of them, not what their numbers are.
_WHICH = {"keys_models", "keys_corrected", "stft_models", "keys_ten", "mrstft_models", "cut", "subset"}
OF_SOME_SETS = {"own_epochs", "own_warm_up"}  # `sized` makes epochs and warm_up of them
NOT_SHAPING = _WHICH | OF_SOME_SETS | {"name", "evidence", "question", "beside"}
OTHER = {
    "data": "nsynth-test",
    "optimiser": "muon",
    "schedule": "cosine",
    "bfloat16": True,
    "epochs": (2, 2, 2),
    "own_epochs": {"brass1": (2, 2, 2)},
    "own_warm_up": {"brass1": 3},
}


@pytest.mark.parametrize("field", [field.name for field in fields(Profile)])
def test_what_shapes_a_cell_is_in_its_recipe(run, field):
    """A new field must be put into the recipe, or among those that change no number."""
    changed = replace(SMOKE, **{field: OTHER.get(field, getattr(SMOKE, field))})
    if field not in OTHER | dict.fromkeys(NOT_SHAPING):
        changed = replace(SMOKE, **{field: getattr(SMOKE, field) * 2 or 1})
    same = run_folder.recipe(run.cell, changed, "0") == run_folder.recipe(run.cell, SMOKE, "0")
    assert same == (field in NOT_SHAPING - OF_SOME_SETS)


def test_set_aside_twice_keeps_both(run, monkeypatch):
    for _ in range(2):
        checkpoint(run)
        other = CHANGES["channels (16 -> 17)"](monkeypatch)
        assert other.set_aside()
    assert len(list((run.folder.parent / ".stale").iterdir())) == 2


def test_what_does_not_shape_a_cell_does_not_make_it_stale(run):
    other = Run(Cell("brass1"), replace(SMOKE, keys_models=7, evidence=True, subset=None))
    assert other.signature == run.signature


def test_a_damaged_file_is_named_and_set_aside(run):
    """Of a checkpoint and of a marker; what was there is kept, and the cell is trained again."""
    small, said = replace(SMOKE, epochs=(1, 1, 1)), []
    run = Run(run.cell, small)
    checkpoint(run)
    file = run.folder / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    assert run.state() == "damaged" and f"{file} is damaged" in run.damage()
    assert train_cell(run.cell, small, log=said.append).state() == "done"
    assert "checkpoint.safetensors is damaged" in said[0] and "training it again" in said[0]
    assert (run.folder.parent / ".stale" / "brass1-ReLU-STFT-flow-0-damaged" / file.name).stat().st_size == 20
    (run.folder / "done.json").write_text('{"half')
    assert run.state() == "damaged" and run.cell.name in records.load("smoke").missing
    assert train_cell(run.cell, small, log=said.append).state() == "done"
    assert sum("training it again" in line for line in said) == 2
    assert (run.folder.parent / ".stale" / "brass1-ReLU-STFT-flow-0-damaged-2" / "history.csv").is_file()


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as beside:
        beside.write_text("half of the n")
        raise KeyError
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_the_owner_clears_what_a_killed_one_was_writing(run):
    run.folder.mkdir(parents=True)
    (run.folder / ".checkpoint.123.part.safetensors").write_bytes(b"half")
    with run.owned():
        assert not list(run.folder.iterdir())


def test_a_folder_has_one_owner(run):
    with run.owned():
        lock = run.folder.parent / ".locks" / run.cell.name
        taken = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        assert subprocess.run([sys.executable, "-c", taken, lock], stderr=subprocess.DEVNULL).returncode
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_loading_names_what_is_missing(run):
    found = records.load("smoke")
    assert len(found.missing) == len(SMOKE.subset) and found.history.empty


def test_loaded_rows_say_which_cell_they_are_of(smoke_root):
    found = records.load("smoke")
    assert not found.missing
    rows = found.history[found.history.cell == "keys-ELU-CQT-flow-0"]
    assert set(rows.training_loss) == {"CQT"} and set(rows.spectrum) == {"STFT", "MFC", "CQT", "codes"}
    assert not rows.published.any()
    assert found.about.device.str.endswith(", CPU time").all()  # as other jobs on this machine do not lengthen it
    assert found.about.device.str.contains(platform.platform(), regex=False).all()
    cell = json.loads((smoke_root / "runs/smoke/keys-ELU-CQT-flow-0/cell.json").read_text())["cell"]
    assert Cell(**cell).name == "keys-ELU-CQT-flow-0"
