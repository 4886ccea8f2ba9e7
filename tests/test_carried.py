"""Records that come with the project: a report without runs and notes, and a recorded cell run again."""

import importlib
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import PROJECT, ROOT, call_singlib, make_root
from singlib import nsynth
from singlib.grading import grades
from singlib.grid import INSTRUMENT_SETS, PROFILES, Cell, cells
from singlib.nsynth import selection
from singlib.runs import again, carried, records, run_folder, study
from singlib.runs.training import Trainer

SMOKE = PROFILES["smoke"]
RECORDED = [PROFILES[name] for name in ("recorded", "recorded-best")]  # whose reports come with the project
BEST = PROFILES["recorded-best"]
CELL = "keys-ELU-CQT-flow-0"
MEASURES = ("modulation", "noise", "target_noise", "chroma_heard", "distance", "brightness")


@pytest.fixture(scope="module")
def carrying(smoke_root, tmp_path_factory):
    """Return a root with the smoke grid's runs, and beside them its carried records."""
    root = make_root(tmp_path_factory.mktemp("carrying") / "root")
    shutil.copytree(smoke_root / "runs", root / "runs")
    assert call_singlib("carry", "--profile", "smoke", "--models", CELL, root=root).returncode == 0
    return root


def test_a_report_needs_neither_runs_nor_notes(smoke_root, carrying, tmp_path):
    bare = make_root(tmp_path / "root")
    (bare / "data" / "mini").unlink()
    shutil.copytree(carrying / "data" / "smoke", bare / "data" / "smoke")
    tables = [f"table{number}" for number in (1, 2, 3)]
    parts = ",".join(["fig01", "fig09", "fig20", *tables, "claims"])
    for root in (bare, smoke_root):
        assert call_singlib("report", "--profile", "smoke", "--only", parts, root=root).returncode == 0
    ours, theirs = (root / "figures" / "smoke" for root in (bare, smoke_root))
    for name in ("fig01.svg", "fig09.svg", "fig20.png", "claims.csv", *(f"{table}.csv" for table in tables)):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_what_is_carried_has_its_provenance_and_weights(carrying):
    folder = carrying / "data" / "smoke"
    for cell in cells(SMOKE):
        facts = json.loads((folder / "cells" / cell.name / "cell.json").read_text())
        assert facts["data_digest"] and facts["packages"]["torch"] and facts["seconds"]
    assert (folder / "models" / f"{CELL}.safetensors").is_file() and (folder / "models" / f"{CELL}.md").is_file()


def test_the_carried_targets_are_the_notes(carrying, monkeypatch, tmp_path):
    label = selection.nearest("mini", "keys", *selection.FIGURE_NOTES["keys"])
    note = nsynth.read_waveform(carried.target_file(SMOKE, label))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "smoke").symlink_to(carrying / "data" / "smoke")
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))  # without data/mini
    assert np.array_equal(nsynth.read_waveform(carried.target_file(SMOKE, label)), note)


def test_carried_records_of_another_recipe_are_missing(carrying, monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copytree(carrying / "data" / "smoke", tmp_path / "data" / "smoke")
    (tmp_path / "data" / "mini").symlink_to(PROJECT / "data" / "mini")
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    found = records.load("smoke")
    assert not found.missing and found.carried == {cell.name for cell in cells(SMOKE)}
    marker = carried.folder(SMOKE) / "cells" / CELL / "done.json"
    about = json.loads(marker.read_text())
    about["recipe"]["sizes"]["batch"] += 1
    marker.write_text(json.dumps(about))
    found = records.load("smoke")
    assert found.missing == [CELL] and CELL not in set(found.history.cell)
    monkeypatch.setattr(run_folder, "RECIPE", run_folder.RECIPE + 1)
    assert len(records.load("smoke").missing) == len(cells(SMOKE))


def test_carrying_loses_no_record(carrying, monkeypatch, tmp_path):
    """Neither of another recipe, nor of other notes than there are here; and nothing finished carries nothing."""
    root = tmp_path / "root"
    shutil.copytree(carrying, root, symlinks=True)
    marker = root / "data" / "smoke" / "cells" / CELL / "done.json"
    marker.write_text(marker.read_text().replace('"data_digest": "', '"data_digest": "0'))
    shutil.rmtree(root / "runs" / "smoke" / CELL)
    done = call_singlib("carry", "--profile", "smoke", root=root)
    assert f"1 cells of another recipe, or of other notes than data/mini holds now ({CELL} is one)" in done.stderr
    assert done.returncode == 1 and marker.is_file()
    assert CELL in set(pd.read_parquet(root / "data" / "smoke" / "history.parquet").cell)
    done = call_singlib("carry", "--profile", "quick", root=root)
    assert "no run of quick is finished" in done.stderr and not (root / "data" / "quick").exists()


@pytest.fixture
def copied(carrying, tmp_path, monkeypatch):
    """Return a copy of `carrying`, the root of this test."""
    root = shutil.copytree(carrying, tmp_path / "copied", symlinks=True)
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    return root


def test_carrying_again_keeps_cells_whose_runs_are_gone(copied):
    shutil.rmtree(copied / "runs" / "smoke" / CELL)
    files = [copied / "data" / "smoke" / f"{name}.parquet" for name in carried.FRAMES]
    before = [file.read_bytes() for file in files]
    assert call_singlib("carry", "--profile", "smoke", root=copied).returncode == 0
    assert [file.read_bytes() for file in files] == before
    assert (copied / "data" / "smoke" / "cells" / CELL / "done.json").is_file()


def test_a_run_of_this_machine_goes_before_the_record_that_came_with_the_project(copied):
    """When it is read, and when it is carried, by the numbers and the place of the sounds."""
    run = run_folder.Run(next(cell for cell in cells(SMOKE) if cell.name == CELL), SMOKE)
    before = carried.history_of(carried.folder(SMOKE) / "cells" / CELL).loss.to_numpy()
    run.write_history(run.frame("history").assign(loss=2 * before).to_dict("records"))
    run.mark()
    found = records.load("smoke")
    assert (found.history.loss[found.history.cell == CELL] == 2 * before).all()
    assert not found.carried and found.folder(CELL) == run.folder
    assert call_singlib("carry", "--profile", "smoke", root=copied).returncode == 0
    assert (carried.history_of(carried.folder(SMOKE) / "cells" / CELL).loss == 2 * before).all()


def test_weights_that_were_carried_are_those_of_the_run_that_is_carried_now(copied):
    weights = copied / "data" / "smoke" / "models" / f"{CELL}.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(b"of an earlier training")
    assert call_singlib("carry", "--profile", "smoke", root=copied).returncode == 0
    assert weights.read_bytes() == before


def test_a_cell_run_again_gives_its_history(carrying):
    folder = carrying / "data" / "smoke" / "cells" / CELL
    found = again.train_again(folder, log=lambda line: None)  # all it has, which is fewer than three
    assert (found.difference == 0).all() and set(found.epoch) == {0, 1, 2} and len(found) == 9


@pytest.mark.parametrize(("epoch", "factor", "spectrum"), [(0, 1.001, "STFT"), (1, 1.5, "CQT"), (1, np.nan, "MFC")])
def test_a_cell_that_comes_out_differently_is_told(tmp_path, smoke_root, epoch, factor, spectrum):
    folder = shutil.copytree(smoke_root / "runs" / "smoke" / CELL, tmp_path / CELL)
    history = pd.read_csv(folder / "history.csv")
    history.loc[(history.epoch >= epoch) & (history.spectrum == spectrum), "loss"] *= factor
    history.to_csv(folder / "history.csv", index=False)
    done = call_singlib("again", str(folder), "--epochs", "1")
    assert f"{spectrum} in epoch {epoch} is" in done.stderr and done.returncode == 1


def test_a_record_of_rates_by_stage_is_trained_again_from_within_its_folder(tmp_path, smoke_root, monkeypatch):
    folder = shutil.copytree(smoke_root / "runs" / "smoke" / CELL, tmp_path / CELL)
    facts = json.loads((folder / "cell.json").read_text())
    facts["sizes"] |= {"learning_rate": [2e-3, 1e-3, 2e-3]}
    (folder / "cell.json").write_text(json.dumps(facts))
    monkeypatch.chdir(tmp_path)
    found = again.train_again(folder.relative_to(tmp_path), 1, log=lambda line: None)
    assert (found.difference == 0).all()


def test_another_processor_is_no_other_result(tmp_path, smoke_root, monkeypatch):
    """Its record is made here by gradients that are rounded in another way."""
    folder = shutil.copytree(smoke_root / "runs" / "smoke" / CELL, tmp_path / CELL)
    trainer = Trainer(Cell("keys", "ELU", "CQT"), SMOKE, nsynth.load_notes("mini", ("keys",)), torch.device("cpu"))
    again._round_gradients(trainer, seed=5)
    history = again._first_epochs(trainer, 2).rename("loss").reset_index()
    history.assign(stage="autoencoder").to_csv(folder / "history.csv", index=False)
    facts = json.loads((folder / "cell.json").read_text())
    legs = [facts["legs"][0] | {"device": "another"}, *facts["legs"][1:]]
    (folder / "cell.json").write_text(json.dumps(facts | {"device": "another", "legs": legs}))
    monkeypatch.setattr(again, "CLOSE", 1e-9)
    found = again.train_again(folder, log=lambda line: None)
    assert found.difference.max() > again.CLOSE and (found.difference <= found.allowed).all()
    (folder / "cell.json").write_text(json.dumps(facts))  # of this machine: to the bit, or not at all
    found = again.train_again(folder, log=lambda line: None)
    assert (found.difference > found.allowed).any()


def test_a_history_that_lacks_an_epoch_is_told_before_any_training(tmp_path, smoke_root, monkeypatch):
    folder = shutil.copytree(smoke_root / "runs" / "smoke" / CELL, tmp_path / CELL)
    history = pd.read_csv(folder / "history.csv")
    history[history.epoch != 1].to_csv(folder / "history.csv", index=False)
    monkeypatch.setattr(again, "_first_epochs", None)
    with pytest.raises(ValueError, match=f"the history of {folder} is damaged .no epoch 1 of the autoencoder"):
        again.train_again(folder)


def test_other_notes_than_the_record_s_are_an_error(tmp_path, smoke_root):
    folder = shutil.copytree(smoke_root / "runs" / "smoke" / CELL, tmp_path / CELL)
    facts = json.loads((folder / "cell.json").read_text())
    (folder / "cell.json").write_text(json.dumps(facts | {"data_digest": "0" * 64}))
    with pytest.raises(ValueError, match="holds other notes than"):
        again.train_again(folder)


def test_carrying_needs_finished_models(smoke_root):
    assert Cell("voice").name not in {cell.name for cell in cells(SMOKE)}
    done = call_singlib("carry", "--profile", "smoke", "--models", "voice-ReLU-STFT-flow-0")
    assert "unknown cell 'voice-ReLU-STFT-flow-0'" in done.stderr and done.returncode == 1


@pytest.mark.parametrize("profile", [*RECORDED, BEST], ids=lambda profile: profile.name)
def test_what_is_on_record_is_of_the_recipe_of_now(profile):
    """No change of sizes, recipe or marker may make hours of training stale unseen."""
    names = {place.parent.name for place in (PROJECT / "data" / profile.name / "cells").glob("*/done.json")}
    assert names == {cell.name for cell in carried.fresh_cells(profile)} <= {cell.name for cell in cells(profile)}
    assert all(names == set(carried.read(profile, name).cell) for name in carried.FRAMES)


def test_the_study_of_sizes_is_of_its_script_as_it_is_now(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "data" / "recorded")
    sizes = importlib.import_module("sizes")
    now = {
        name: study.signature(study.settings(*made, lstms=lstms)) for name, (*made, lstms) in sizes.EXPERIMENTS.items()
    }
    kept = pd.read_parquet(PROJECT / "data" / "recorded" / "sizes.parquet").drop_duplicates("experiment")
    assert len(kept) >= 32 and all(
        now[name] == made for name, made in zip(kept.experiment, kept.signature, strict=True)
    )


def test_the_study_of_the_recipe_is_of_its_script_and_told_in_its_readme(monkeypatch):
    folder = PROJECT / "data" / "recorded-best"
    monkeypatch.syspath_prepend(folder)
    settings = importlib.import_module("study").SETTINGS
    kept = pd.read_parquet(folder / "study.parquet")
    for name, signature in kept.groupby("experiment").signature.unique().items():
        assert list(signature) == [study.signature(study.settings(*settings[name], grading=run_folder.GRADING))], name
    told = {}
    for line in (folder / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in kept.experiment.values:
            told[cells[0]] = [tuple(map(float, cell.split(" / "))) for cell in cells[2:]]
    shown = {"epochs": 0, "STFT": 4, "score": 2, "in_tune": 0, "noise": 1, "cpu_seconds": 0}
    assert told == {
        name: [tuple(rows[column].round(digits)) for column, digits in shown.items()]
        for name, rows in kept.groupby("experiment")
    }


@pytest.mark.parametrize("name", ["recorded", "recorded-best"])
def test_the_grades_on_record_follow_from_the_measures_beside_them(name):
    rows = carried.read(PROFILES[name], "quality")
    assert len(rows) > 300 and [grades.grade_of(row) for row in rows.to_dict("records")] == rows.grade.tolist()


@pytest.mark.parametrize("name", ["recorded", "recorded-best"])
def test_the_measures_on_record_are_those_of_the_notes(name):
    """Of sounds from noise to what is like the note; another processor rounds differently."""
    profile = PROFILES[name]
    rows, found = carried.read(profile, "quality"), {}
    for row in rows.itertuples():
        label = nsynth.Label(row.role, row.pitch, row.velocity)
        made = carried.folder(profile) / "cells" / row.cell / "generated" / f"{label}.flac"
        target = carried.folder(profile) / "targets" / made.name
        if made.is_file() and target.is_file():
            now = grades.grade(nsynth.read_waveform(made), nsynth.read_waveform(target), row.pitch)
            found[made] = now["grade"]
            assert now["grade"] == row.grade, made
            np.testing.assert_allclose([now[key] for key in MEASURES], [getattr(row, key) for key in MEASURES], 1e-3)
    assert len(found) >= 4 and len(set(found.values())) > 1


@pytest.mark.parametrize(("profile", "published"), [(RECORDED[0], 108), (RECORDED[1], 46)])
def test_the_whole_grid_is_on_record(profile, published):
    assert carried.fresh_cells(profile) == cells(profile)
    assert sum(cell.published for cell in cells(profile)) == published


@pytest.mark.parametrize("profile", RECORDED, ids=lambda profile: profile.name)
def test_records_are_graded_as_grades_are_now(profile):
    assert set(records.load(profile.name).about.grading) == {run_folder.GRADING}


def test_every_set_of_instruments_can_be_played():
    found = {file.name.split("-ReLU")[0].split("-ELU")[0] for file in (PROJECT / "data").glob("*/models/*.safetensors")}
    assert found == set(INSTRUMENT_SETS)


@pytest.fixture(scope="module", params=RECORDED, ids=lambda profile: profile.name)
def rebuilt(request):
    """Return the folder of the tables and claims of records that come with the project, made again."""
    name = request.param.name
    assert call_singlib("report", "--profile", name, "--only", "table1,table2,table3,claims").returncode == 0
    return ROOT / "figures" / name


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "claims"])
def test_the_committed_numbers_are_those_of_the_records(rebuilt, name):
    ours, committed = (pd.read_csv(folder / f"{name}.csv") for folder in (rebuilt, PROJECT / "figures" / rebuilt.name))
    pd.testing.assert_frame_equal(ours, committed, rtol=1e-6)  # the last bits are the machine's


def test_what_the_readme_says_was_found_was_found():
    """Each size with its interval is a claim's of its section's profile, or its negative: 45 % above for -45 % below.

    A ° after it says that the verdict does not stand when all are to be right together.
    """
    said = (PROJECT / "figures" / "README.md").read_text().split("\n## What was found\n")[1].split("\n## ")[0]
    best = (PROJECT / "data" / BEST.name / "README.md").read_text().split("\n## What was found\n")[1].split("\n## ")[0]
    asked = (
        (PROJECT / "data" / "questions" / "README.md").read_text().split("\n## What was found\n")[1].split("\n## ")[0]
    )
    numbers = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\](?=([^\[.;]*))")
    quoted = 0
    for section in [*said.split("\n### ")[1:], f"`{BEST.name}`\n{best}", f"`recorded`\n{asked}"]:
        profile = re.search(r"`(recorded[\w-]*)`", section)[1]
        claims = pd.read_csv(PROJECT / "figures" / profile / "claims.csv").dropna(subset="lowest")
        effects = claims[["size", "lowest", "highest"]].to_numpy()
        falls = claims.verdict != claims.holm
        known = {
            tuple(f"{number:.3g}" for number in row): fall
            for row, fall in zip([*effects, *-effects[:, [0, 2, 1]]], [*falls, *falls], strict=True)
        }
        for found in numbers.finditer(" ".join(section.split())):
            quoted += 1
            assert known.get(found.groups()[:3]) == ("°" in found[4]), (profile, found[0])
    assert quoted >= 20
