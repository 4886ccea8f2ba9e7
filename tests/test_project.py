"""The project holds together: pins, commands, imports, notebooks."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import refresh_notebooks
import yaml

PROJECT = Path(__file__).parents[1]
PINS = dict(
    line.split("==") for line in (PROJECT / "requirements.txt").read_text().splitlines() if not line.startswith("#")
)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environment_and_pins_are_one():
    conda = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    pip = next(part["pip"] for part in conda if isinstance(part, dict))
    pinned = dict(part.split("=") for part in conda if isinstance(part, str) and "=" in part)
    assert pinned["pytorch"] == PINS["torch"], "conda-forge's pytorch is not the pinned torch"
    assert pinned["python"] == "3.11"
    assert pip == ["-r requirements.txt", "-e ."], "all else comes from the pins"


def test_every_dependency_is_pinned():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = {canonical(name) for extra in extras if extra not in ("bench", "cluster") for name in extras[extra]}
    named |= {canonical(name) for name in [*project["dependencies"], "setuptools"]}  # which pip freeze leaves out
    assert {name for name in named if not name.startswith("singlib[")} <= {canonical(name) for name in PINS}


@pytest.mark.parametrize(("files", "extras"), [("spectra/*.py", []), ("**/*.py", ["grid", "export", "report"])])
def test_what_is_imported_is_a_dependency(files, extras):
    """The losses need what everybody gets; the rest its extras."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    every = project["dependencies"] + [name for extra in extras for name in project["optional-dependencies"][extra]]
    named = {canonical(name) for name in every}
    # what a named package brings and promises: papermill runs on nbclient, and both are configured by traitlets
    named |= {"nbclient", "traitlets"} if extras else {"pandas"}  # for the table of `follow_gradient` alone
    for file in (PROJECT / "singlib").glob(files):
        for module in imported(file):
            name = {"bs4": "beautifulsoup4"}.get(module.split(".")[0], module.split(".")[0])
            if name not in sys.stdlib_module_names:
                assert canonical(name) in named, f"{file.name} imports {module}"


def imported(file):
    """Absolute modules that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_imports_go_one_way_between_packages():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_notebooks_are_refreshed():
    assert refresh_notebooks.check() == []


@pytest.mark.parametrize(
    "left",
    [
        nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}),
        nbformat.v4.new_output("stream", name="stderr", text="a warning"),
        nbformat.v4.new_output("stream", name="stdout", text=f"wrote {PROJECT}/figures"),
    ],
)
def test_what_an_execution_leaves_behind_is_found(left, tmp_path, monkeypatch):
    notebook = nbformat.read(PROJECT / "notebooks" / "05-quality.ipynb", as_version=4)
    monkeypatch.setattr(refresh_notebooks, "NOTEBOOKS", tmp_path)
    (tmp_path / "05-quality.ipynb").write_text(nbformat.writes(notebook))
    assert refresh_notebooks.check() == []
    next(cell for cell in notebook.cells if cell.get("outputs")).outputs.append(left)
    (tmp_path / "05-quality.ipynb").write_text(nbformat.writes(notebook))
    assert refresh_notebooks.check() == ["05-quality.ipynb"]


def test_make_help_lists_every_command():
    listed = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for command in (
        "env",
        "paper",
        "test",
        "test-slow",
        "lab",
        "report",
        "clean",
        "help",
        "notebooks",
        "bench",
        "lint",
    ):
        assert re.search(rf"^{command}\s+\S", listed, re.M), command


def test_the_lab_opens_in_the_project_and_not_in_its_notebooks():
    said = subprocess.run(["make", "-n", "-o", ".venv/.fresh", "lab"], cwd=PROJECT, capture_output=True, text=True)
    assert "jupyter lab --notebook-dir=. notebooks/03-play.ipynb" in said.stdout.replace('"', "")


def test_the_environment_is_made_when_missing_or_older_than_the_pins(tmp_path):
    """Only what make would do: a stand-in for the environment, no installation."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)

    def plan():
        command = ["make", "--dry-run", "paper"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.replace('"', "")

    assert "pip install" in plan()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".fresh").touch()
    os.utime(tmp_path / "requirements.txt", (1, 1))
    assert "pip install" not in plan() and "singlib run" in plan()
    os.utime(tmp_path / ".venv" / ".fresh", (0, 0))
    assert "pip install" in plan()
