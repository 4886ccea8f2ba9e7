"""The records of a profile as tidy frames: what figures, tables and claims are made of, without torch.

They come from the runs of this machine, and where a cell has none, from the records that come with the project, for
which a report needs neither the runs nor the notes. ``data/<profile>/`` has (`singlib.report.carry` writes it)

- ``history.parquet``, ``quality.parquet``: of all cells;
- ``cells/<cell>/cell.json``, ``done.json``, ``generated/``: provenance, marker, and the notes that the report plays;
- ``<data>.csv``: what notes the data have; ``targets/``: those that Figures 16-22 show;
- ``models/``: weights of some models, each with a card (`singlib.runs.model_cards`).
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from .. import nsynth
from ..files import project_folder, read_json, read_table
from ..grid import Cell, Profile, cells, profile_named
from .run_folder import COLUMNS, Run, recipe

FRAMES = tuple(COLUMNS)  # "history" and "quality"


@dataclass(frozen=True)
class Records:
    """All that the cells of a profile left, as tidy frames."""

    profile: Profile
    history: pd.DataFrame  # the columns of history.csv and of `describe`
    quality: pd.DataFrame  # the columns of quality.csv and of `describe`
    missing: list[str]  # names of the cells without finished, fresh records
    # A row for each finished cell: columns of `describe`; device; seconds of each stage ("seconds_lstm"; of the CPU
    # where device says so, since wall time there depends on other jobs); activation_mean and activation_std (see
    # `singlib.runs.training.Trainer.activations`); grading, the `singlib.runs.run_folder.GRADING` of its grades.
    about: pd.DataFrame = field(default_factory=pd.DataFrame)
    carried: frozenset[str] = frozenset()  # names of the cells whose records are those that come with the project

    def nothing(self) -> str:
        """Say what to do when no model is finished; empty if one is."""
        if len(self.about):
            return ""
        name = self.profile.name
        return (
            f"No model of profile {name} is finished. Train some with `singlib run --profile {name}`, or choose a "
            "profile whose records come with the project: recorded, recorded-many-updates."
        )

    def folder(self, cell: str) -> Path:
        """Return the folder of a cell, by name, with its ``cell.json`` and ``done.json``."""
        if cell in self.carried:
            return carried_folder(self.profile) / "cells" / cell
        return project_folder() / "runs" / self.profile.name / cell

    def generated_file(self, cell: str, label: nsynth.Label) -> Path:
        """Return the file of a generated note; of carried cells only those that the report plays are there."""
        return self.folder(cell) / "generated" / f"{label}.flac"

    @property
    def grid(self) -> list[Cell]:
        """The whole grid at this profile's numbers of models, even if the profile runs only a subset."""
        return cells(replace(self.profile, subset=None))


def describe(cell: Cell) -> dict:
    """Return a cell as columns of a tidy frame, with ``training_loss`` for its ``loss``."""
    about = asdict(cell)
    about["training_loss"] = about.pop("loss")
    return about | {"cell": cell.name, "published": cell.published}


def load(profile: str) -> Records:
    """Read the records of every finished cell of a profile, by its name.

    Unfinished, stale and damaged cells are only named, in `Records.missing`. A run of this machine goes before records
    that come with the project. FileNotFoundError if there are neither the profile's notes nor records of it, ValueError
    if its notes, or the tables of all carried cells, are damaged.
    """
    chosen = profile_named(profile)
    runs = {run.cell.name: run for run in (Run(cell, chosen) for cell in cells(chosen)) if run.state() == "done"}
    kept = {cell.name for cell in carried_cells(chosen)} - runs.keys()
    if not kept and not runs:
        nsynth.index(chosen.data)  # raises where there are no notes to train on
    tables = {name: dict(list(read_carried(chosen, name).groupby("cell"))) for name in FRAMES if kept}
    about, parts = [], {name: [] for name in FRAMES}
    for cell in cells(chosen):
        if cell.name not in runs.keys() | kept:
            continue
        run = runs.get(cell.name)
        place = run.folder if run else carried_folder(chosen) / "cells" / cell.name
        try:
            row = describe(cell) | _facts(place)
            rows = [run.frame(name) if run else tables[name][cell.name] for name in FRAMES]
        except (FileNotFoundError, ValueError, KeyError):
            continue
        about.append(row)
        for name, part in zip(FRAMES, rows, strict=True):
            parts[name].append(part.assign(cell=cell.name))
    described = pd.DataFrame([describe(cell) for cell in cells(chosen)])
    frames = {
        name: pd.concat(part).merge(described, on="cell", how="left") if part else pd.DataFrame()
        for name, part in parts.items()
    }
    read = {row["cell"] for row in about}
    missing = [cell.name for cell in cells(chosen) if cell.name not in read]
    return Records(chosen, **frames, missing=missing, about=pd.DataFrame(about), carried=frozenset(kept & read))


def _facts(folder: Path) -> dict:
    """Return the columns of `Records.about` from a cell's folder; ValueError names a damaged ``cell.json``."""
    facts, marker = (read_json(folder / name) for name in ("cell.json", "done.json"))
    try:
        on_cpu = facts.get("device_type") == "cpu"
        by_cpu = on_cpu and "cpu_seconds" in facts
        device = facts["device"] + (f", {facts['platform']}" if on_cpu else "") + ", CPU time" * by_cpu
        seconds = facts["cpu_seconds" if by_cpu else "seconds"]
        columns = {"device": device} | {f"seconds_{stage}": value for stage, value in seconds.items()}
        return columns | facts.get("activations", {}) | {"grading": marker["grading"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / 'cell.json'} is damaged (no {error})") from error


def carried_folder(profile: Profile) -> Path:
    """Return ``data/<profile>``, where the records are that come with the project."""
    return project_folder() / "data" / profile.name


def carried_cells(profile: Profile) -> list[Cell]:
    """List the cells whose carried marker is of the current recipe, and of the notes if these are here.

    Their grades may be of an older `singlib.runs.run_folder.GRADING` (`Records.about` says which):
    they come without the notes to grade again.
    """
    here = nsynth.at_hand(profile.data)
    kept = []
    for cell in cells(profile):
        try:
            made_by = read_json(carried_folder(profile) / "cells" / cell.name / "done.json").get("recipe") or {}
        except (FileNotFoundError, ValueError):
            continue
        digest = nsynth.digest(profile.data, cell.roles) if here else made_by.get("data_digest")
        if made_by == recipe(cell, profile, digest):
            kept.append(cell)
    return kept


def read_carried(profile: Profile, name: str) -> pd.DataFrame:
    """Return one of `FRAMES`: the rows of every carried cell, with a column ``cell``; ValueError if it is damaged."""
    try:
        return read_table(carried_folder(profile) / f"{name}.parquet", {"cell"} | COLUMNS[name])
    except ValueError as error:
        raise ValueError(f"{error}; get it again, for example with git checkout") from error


def history_of(place: Path) -> pd.DataFrame:
    """Return the history of the cell whose ``cell.json`` is in a folder, a run's or a carried one."""
    if (place / "history.csv").is_file():
        return pd.read_csv(place / "history.csv")
    rows = pd.read_parquet(place.parents[1] / "history.parquet")
    return rows[rows.cell == place.name]


def target_file(profile: Profile, label: nsynth.Label) -> Path:
    """Return the file of the note itself: the data's or, where these are not here, the carried one, if there is one."""
    if nsynth.at_hand(profile.data):
        return nsynth.index(profile.data)[label]
    return carried_folder(profile) / "targets" / f"{label}.flac"
