"""The records of a profile as tidy frames: what figures, tables and claims are made of, without torch.

They come from the runs of this machine (`singlib.runs`), and where a cell has none, from the records that
come with the project (`singlib.carried`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from . import carried, nsynth
from .grid import ROOT, Cell, Profile, cells, profile_named
from .runs import Run


@dataclass(frozen=True)
class Records:
    """All that the cells of a profile left, as tidy frames.

    Attributes
    ----------
    profile : Profile
        The profile.
    history : DataFrame
        Columns of history.csv and of `describe`.
    quality : DataFrame
        Columns of quality.csv and of `describe`.
    missing : list of str
        Names of the cells without finished, fresh records.
    about : DataFrame
        A row for each finished cell: columns of `describe`, ``device``, ``seconds`` of each stage ("seconds_lstm";
        CPU time where it is on record and the device is a CPU; ``device`` then says so, and names the platform),
        ``activation_mean`` and ``activation_std`` (see `singlib.stages.Trainer.activations`), ``grading`` (of which
        `singlib.runs.GRADING` its grades are).
    carried : frozenset of str
        Names of the cells whose records are those that come with the project.
    """

    profile: Profile
    history: pd.DataFrame
    quality: pd.DataFrame
    missing: list[str]
    about: pd.DataFrame = field(default_factory=pd.DataFrame)
    carried: frozenset[str] = frozenset()

    def folder(self, cell: str) -> Path:
        """Return where ``cell.json`` and ``done.json`` of a cell, by name, are."""
        if cell in self.carried:
            return carried.cell_folder(self.profile, cell)
        return ROOT / "runs" / self.profile.name / cell

    def generated_file(self, cell: str, label: nsynth.Label) -> Path:
        """Return where a generated note is; of carried cells only those that the report plays are there."""
        return self.folder(cell) / "generated" / f"{label}.flac"

    @property
    def grid(self) -> list[Cell]:
        """The paper's whole grid at this profile's number of keys models, also where the profile runs less of it."""
        return cells(replace(self.profile, subset=None))


def describe(cell: Cell) -> dict:
    """Return a cell as columns of a tidy frame; its loss is ``training_loss`` beside a row's own loss."""
    about = asdict(cell)
    about["training_loss"] = about.pop("loss")
    return about | {"cell": cell.name, "published": cell.published}


def load(profile: str) -> Records:
    """Read the records of every finished cell of a profile.

    Parameters
    ----------
    profile : str
        Name of a profile.

    Returns
    -------
    Records
        Unfinished and stale cells are only named, in `Records.missing`. A run of this machine goes before the
        records that come with the project; without the profile's notes only these are read.

    Raises
    ------
    FileNotFoundError
        If there are neither the profile's notes nor records of it that come with the project.
    """
    chosen = profile_named(profile)
    kept = {cell.name for cell in carried.fresh(chosen)}
    own = [] if kept and not nsynth.at_hand(chosen.data) else [Run(cell, chosen) for cell in cells(chosen)]
    own = {run.cell.name: run for run in own if run.state() == "done"}
    kept -= own.keys()
    about = {cell.name: describe(cell) for cell in cells(chosen) if cell.name in own.keys() | kept}
    found = Records(chosen, pd.DataFrame(), pd.DataFrame(), [], carried=frozenset(kept))
    facts = []
    for cell in (cell for cell in cells(chosen) if cell.name in about):
        noted = json.loads((found.folder(cell.name) / "cell.json").read_text())
        marker = json.loads((found.folder(cell.name) / "done.json").read_text())
        grading = {"grading": marker["grading"]}
        facts.append(about[cell.name] | _cost(noted) | noted.get("activations", {}) | grading)
    frames = {name: _joined(name, chosen, own, kept, about) for name in carried.FRAMES}
    missing = [cell.name for cell in cells(chosen) if cell.name not in about]
    return replace(found, **frames, missing=missing, about=pd.DataFrame(facts))


def _cost(noted: dict) -> dict:
    """Return device and seconds of a cell.json; wall time on a CPU tells of other jobs, too."""
    by_cpu = noted.get("device_type") == "cpu" and "cpu_seconds" in noted
    seconds = noted["cpu_seconds" if by_cpu else "seconds"]
    machine = [noted["platform"]] if noted.get("device_type") == "cpu" else []  # "cpu" is any
    device = ", ".join([noted["device"], *machine]) + ", CPU time" * by_cpu
    return {"device": device} | {f"seconds_{stage}": value for stage, value in seconds.items()}


def _joined(name: str, profile: Profile, own: dict[str, Run], kept: set[str], about: dict[str, dict]) -> pd.DataFrame:
    """Return the rows of all finished cells, in the order of the grid, with the columns of `describe`."""
    parts = {cell: pd.read_csv(run.folder / f"{name}.csv").assign(cell=cell) for cell, run in own.items()}
    if kept:
        parts |= {cell: rows for cell, rows in carried.read(profile, name).groupby("cell") if cell in kept}
    if not parts:
        return pd.DataFrame()
    described = pd.DataFrame(list(about.values()))
    rows = pd.concat([parts[cell] for cell in about])
    return rows.merge(described, on="cell", how="left")
