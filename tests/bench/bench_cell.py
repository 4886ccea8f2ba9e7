"""What a cell costs beside its training: its kernel, imports, loading its notes; and drawing a figure of the report."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import papermill
import plain

from conftest import make_root
from singlib import nsynth
from singlib.files import read_json
from singlib.grid import PROFILES, Cell
from singlib.report import figures
from singlib.runs.notebooks import execute
from singlib.runs.records import Records, describe
from singlib.runs.run_folder import Run

pytest_plugins = ["ratios"]  # the fixtures `compare` and `note_times`

PROJECT = Path(__file__).parents[2]


def on_one_core(code):
    """Start Python and run a line of code on the first core, up to its end without Python's own clearing up."""
    subprocess.run(
        [sys.executable, "-c", f"{code}\nimport os; os._exit(0)"],
        check=True,
        cwd=PROJECT / "tests" / "bench",
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        preexec_fn=lambda: os.sched_setaffinity(0, {0}) if hasattr(os, "sched_setaffinity") else None,
    )


def test_imports(compare):
    """The plain side imports what a notebook of its own would."""
    notebook = json.loads((PROJECT / "notebooks" / "train.ipynb").read_text())
    lines = (line for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines())
    mine = "\n".join(line for line in lines if line.startswith(("import ", "from ")))
    other = "import plain, librosa, matplotlib.pyplot, pandas; from IPython.display import Audio"
    name = "plain imports, one core / imports of notebooks/train.ipynb (at most 3,000 ms)"
    compare(name, lambda: on_one_core(mine), lambda: on_one_core(other))


def forked(root, target):
    execute(root, "train", target, {"instruments": "brass1", "profile": "quick"})


def spawned(root, target):
    """Papermill's own way: a kernel that imports and builds all by itself."""
    target.parent.mkdir(parents=True)
    papermill.execute_notebook(
        root / "notebooks" / "train.ipynb",
        target,
        {"instruments": "brass1", "profile": "quick"},
        cwd=root,
        progress_bar=False,
    )


def test_price_beside_training(note_times, tmp_path, monkeypatch):
    """A quick cell from the start of its kernel to the end, less what it trained; and its grades are the same."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in a grid
    prices, grades = {forked: [], spawned: []}, []
    for number in range(4):
        for way in (forked, spawned):
            root = make_root(tmp_path / f"{way.__name__}-{number}")
            monkeypatch.setenv("SINGLIB_ROOT", str(root))
            run = Run(Cell("brass1"), PROFILES["quick"])
            start = time.perf_counter()
            way(root, run.notebook)
            trained = sum(read_json(run.folder / "cell.json")["seconds"].values())
            prices[way].append(time.perf_counter() - start - trained)
            grades.append((run.folder / "quality.csv").read_bytes())
    assert len(set(grades)) == 1
    name = "a quick cell beside its training: a kernel started by papermill / a forked one"
    note_times(name, prices[forked][1:], prices[spawned][1:], "< 5,000 ms")  # the first of each finds files on the disk


def test_loading(compare):
    roles = tuple(nsynth.ROLES["mini"])
    name = f"plain reading of the files of {len(nsynth.select('mini', roles))} notes / load_notes, the second time"
    compare(name, lambda: nsynth.load_notes("mini", roles), lambda: plain.load(PROJECT / "data" / "mini"))


def test_report(compare, tmp_path, monkeypatch):
    """Figure 1 of the paper's grid (60 models), drawn and saved as PNG, SVG and PDF."""
    shown = figures.FIGURES[1].models(Records(PROFILES["paper"], pd.DataFrame(), pd.DataFrame(), []))
    rows = pd.DataFrame(
        describe(cell)
        | {"stage": stage, "spectrum": spectrum, "epoch": epoch, "updates": epoch, "loss": 1 / (epoch + 1)}
        for cell in shown
        for stage in ("autoencoder", "lstm", "fine-tuning")
        for spectrum in ("STFT", "MFC", "CQT")
        for epoch in range(21)
    )
    monkeypatch.setattr(figures, "output_folder", lambda profile: tmp_path)
    records = Records(PROFILES["paper"], rows, pd.DataFrame(), [])
    same = pd.concat(figures.FIGURES[1].select(records).values())
    theirs = lambda: plain.draw(same, tmp_path / "plain.png")  # noqa: E731
    compare("plain figure of losses / figure 1", lambda: figures.save(1, records), theirs)
