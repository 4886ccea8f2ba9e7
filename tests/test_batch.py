"""The grid: complete, killed and started again, run twice, and with cells that fail."""

import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from importlib.metadata import version

import nbformat
import pytest

from conftest import call_singlib, make_root, run_singlib
from singlib.grid import PROFILES, cells
from singlib.runs import cluster, progress
from singlib.runs.run_folder import Run

COMPARED = ("history.csv", "quality.csv", "sing.safetensors")


def test_every_cell_leaves_an_executed_notebook_and_its_records(smoke_root):
    for cell in cells("smoke"):
        folder = smoke_root / "runs" / "smoke" / cell.name
        for name in (*COMPARED, "cell.json", "done.json", "train.ipynb"):
            assert (folder / name).stat().st_size, name
        assert list((folder / "generated").glob("*.flac"))
        notebook = nbformat.read(folder / "train.ipynb", as_version=4)
        assert all(part.execution_count for part in notebook.cells if part.cell_type == "code")
        assert 'device = "auto"' in next(part.source for part in notebook.cells if "injected" in str(part.metadata))
        assert not list(folder.rglob(".*.part*")) and not (folder / "checkpoint.safetensors").exists()


def test_a_finished_grid_trains_nothing(smoke_root, monkeypatch, capsys):
    before = {file: file.stat().st_mtime_ns for file in (smoke_root / "runs").rglob("*")}
    assert cluster.run_grid(PROFILES["smoke"]) == {}
    assert "6 cells, 6 done already" in capsys.readouterr().out
    assert before == {file: file.stat().st_mtime_ns for file in (smoke_root / "runs").rglob("*")}


def test_the_bar_says_what_is_trained_and_when_it_ends(monkeypatch):
    """Two cells of as many notes: of one, half is in a checkpoint of before, and the other half is trained now."""
    runs = [Run(cell, PROFILES["smoke"]) for cell in cells("smoke")[:2]]
    first, made = runs[0].cell.name, {runs[0].cell.name: 4}
    monkeypatch.setattr(progress, "held", lambda lock: lock.name == first)
    monkeypatch.setattr(progress, "epochs_made", lambda run: (made.get(run.cell.name, 0), 8))
    with progress.Bar(runs) as bar:
        assert bar.desc == f"0 of 2 cells, training {first}"
        made[first] = 8  # in a minute, a third of what is to be done
        bar.begun -= 60
        soon = datetime.now()
        bar.look()
        ends = re.fullmatch(f"0 of 2 cells, done about (.*), training {first}", bar.desc)[1]
        assert ends in {progress._clock(soon + timedelta(seconds=after)) for after in (115, 120, 125)}
        bar.end(first)
        assert bar.desc.startswith("1 of 2 cells, done about") and bar.n == pytest.approx(bar.total / 3)


@pytest.mark.slow  # test_cluster.py kills runners too
def test_killed_in_the_middle_and_started_again_gives_the_same_records(smoke_root, tmp_path):
    root = make_root(tmp_path / "root")
    command = ("run", "--profile", "smoke", "--cells", "keys-ReLU-*-cut-0")
    names = ["keys-ReLU-MFC-cut-0", "keys-ReLU-CQT-cut-0"]
    checkpoints = [root / "runs" / "smoke" / name / "checkpoint.safetensors" for name in names]
    first = run_singlib(*command, root=root)
    deadline = time.monotonic() + 120
    while not any(file.exists() for file in checkpoints):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)  # its workers and kernels are left to find out by themselves
    first.wait()
    assert not all((file.parent / "done.json").exists() for file in checkpoints)
    assert run_singlib(*command, root=root).wait() == 0
    for name in names:
        ours, theirs = (folder / "runs" / "smoke" / name for folder in (root, smoke_root))
        assert sorted(file.name for file in ours.rglob("*")) == sorted(file.name for file in theirs.rglob("*"))
        for file in COMPARED:
            assert (ours / file).read_bytes() == (theirs / file).read_bytes(), f"{name}/{file}"


def test_a_failing_cell_is_told_and_spares_the_others(tmp_path):
    """A file where the folder of generated notes should be stands for any error in a notebook."""
    runs = make_root(tmp_path / "root") / "runs" / "smoke"
    (runs / "keys-ELU-CQT-flow-0").mkdir(parents=True)
    (runs / "keys-ELU-CQT-flow-0" / "generated").write_bytes(b"no folder")
    command = ("run", "--profile", "smoke", "--cells", "keys-ELU-*", "--workers", "1")
    process = run_singlib(*command, root=tmp_path / "root", stderr=-1, text=True)
    _, printed = process.communicate()
    assert process.returncode == 1 and "1 cells failed" in printed
    assert re.search("keys-ELU-CQT-flow-0 failed: FileExistsError: .*generated", printed)
    assert (runs / "keys-ELU-STFT-flow-0" / "done.json").exists()
    assert (runs / ".notebooks" / "keys-ELU-CQT-flow-0-train.ipynb").exists(), "the notebook that shows how is kept"
    told = call_singlib("status", "--profile", "smoke", root=tmp_path / "root").stdout
    assert "smoke: 1 done, 1 failed, 4 missing" in told
    assert re.search("- keys-ELU-CQT-flow-0 failed: FileExistsError: .*generated", told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--profile", "fast"), "unknown profile 'fast'"),
        (("run", "--profile", "smoke", "--cells", "piano*"), "no cell of smoke is called 'piano*'"),
        (("run", "--profile", "paper"), "examples.json is missing"),
        (("run", "--profile", "smoke", "--device", "gpu"), "unknown device 'gpu'; choose one of auto, cpu, cuda"),
        (("report", "--profile", "fast"), "unknown profile 'fast'"),
        (("report", "--profile", "paper"), "examples.json is missing"),
    ],
)
def test_a_wrong_command_is_told_in_a_line(arguments, message, tmp_path):
    done = call_singlib(*arguments, root=make_root(tmp_path / "root"))
    assert done.returncode == 1 and message in done.stderr


def test_help_and_version_are_at_once():
    """What is imported is counted, not the seconds, which are the machine's: typer alone takes a tenth of one."""
    code = "import sys, singlib.__main__; print(sorted({'numpy', 'pandas', 'matplotlib', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "[]\n"
    said = run_singlib("--version", stdout=subprocess.PIPE, text=True).communicate()[0]
    assert said == f"singlib {version('singlib')}\n"
    said = run_singlib("--help", stdout=subprocess.PIPE, text=True).communicate()[0]
    assert "--install-completion" in said and "again" in said
