"""The losses alone, as a wheel in an environment with nothing but what they need."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from conftest import PROJECT
from singlib.__main__ import app

TRAIN = """
import sys
import torch
from singlib.files import project_folder
from singlib.spectra import CQT, SpectralLoss, gradient_report

torch.manual_seed(0)
loss = SpectralLoss(CQT(44_100, 512, n_bins=96, bins_per_octave=24), eps=1e-3)
layer = torch.nn.Conv1d(1, 1, 65, padding=32)
noise = torch.randn(1, 1, 66_150)
target = torch.nn.functional.avg_pool1d(noise, 9, 1, 4)  # a filter to be learnt
optimiser = torch.optim.Adam(layer.parameters(), 1e-2)
values = []
for _ in range(8):
    optimiser.zero_grad()
    value = loss(layer(noise), target)
    value.backward()
    optimiser.step()
    values.append(value.item())
print(gradient_report(lambda: loss(layer(noise), target), layer))
print("falls" if values[-1] < 0.9 * values[0] else values, sorted(set(sys.modules) & {"dask", "pandas", "matplotlib"}))
"""


def names_needed(names):
    """Return the names of distributions and of all that they need in turn, without extras."""
    needed, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            wants = [want for want in distribution(name).requires or () if ";" not in want]  # of other machines
            left += [re.match("[A-Za-z0-9_.-]+", want)[0].lower() for want in wants]
    return needed


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Return the Python of a new environment with singlib from its wheel and what the wheel says that it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / part, folder)
    shutil.copytree(PROJECT / "singlib", folder / "singlib", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("singlib-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    for name in names_needed(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]):
        for file in distribution(name).files:
            top = Path(distribution(name).locate_file(file.parts[0]))
            if file.parts[0] not in ("..", "__pycache__") and not (site / top.name).exists():
                (site / top.name).symlink_to(top)
    return python


def test_a_loss_at_any_rate_trains_without_the_grids_packages(bare, tmp_path):
    done = subprocess.run([bare, "-c", TRAIN], cwd=tmp_path, capture_output=True, text=True)
    assert "falls []" in done.stdout, done.stdout + done.stderr
    assert "all 2 parameters get a gradient" in done.stdout


def test_outside_a_clone_all_lies_in_the_current_folder(bare, tmp_path):
    ask = "import singlib.files; print(singlib.files.project_folder())"
    environment = {name: value for name, value in os.environ.items() if name != "SINGLIB_ROOT"}
    done = subprocess.run([bare, "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path.resolve()), done.stderr


def test_a_command_without_its_packages_says_what_to_install(bare, tmp_path):
    done = subprocess.run([bare.parent / "singlib", "status"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip().endswith("pip install '.[all]' in a clone"), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "report"])
def test_outside_a_clone_what_needs_its_notebooks_says_so(bare, tmp_path, command):
    environment = {name: value for name, value in os.environ.items() if name != "SINGLIB_ROOT"}
    environment["PYTHONPATH"] = os.fspath(distribution("typer").locate_file(""))  # the packages of the grid too
    command = [bare, "-m", "singlib", command, "--profile", "smoke"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "come with a clone of singlib's repository" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_command_without_one_of_its_packages_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mido", None)
    monkeypatch.delitem(sys.modules, "singlib.export.song", raising=False)
    monkeypatch.delattr("singlib.export.song", raising=False)
    with pytest.raises(SystemExit, match=r"^singlib play: needs mido, .* pip install '\.\[all\]' in a clone$"):
        app(["play", "song.mid", "--model", "a:keys", "--out", "song.wav"])
