"""The records of a profile as tidy frames: what figures, tables and claims are made of, without torch.

They come from the runs of this machine and, where a cell has none, from the records that come with the project
(`singlib.runs.carried`).
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from .. import nsynth
from ..files import project_folder, read_json
from ..grid import PROFILES, Cell, Profile, cells, profile_named
from . import carried
from .carried import FRAMES
from .run_folder import Run


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
        name, known = self.profile.name, [one.name for one in PROFILES.values() if carried.folder(one).is_dir()]
        text = f"No model of profile {name} is finished. Train some with `singlib run --profile {name}`"
        return (
            f"{text}, or choose a profile whose records come with the project: {', '.join(known)}." if known else text
        )

    def folder(self, cell: str) -> Path:
        """Return the folder of a cell, by name, with its ``cell.json`` and ``done.json``."""
        if cell in self.carried:
            return carried.folder(self.profile) / "cells" / cell
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
    kept = {cell.name for cell in carried.fresh_cells(chosen)} - runs.keys()
    if not kept and not runs:
        nsynth.index(chosen.data)  # raises where there are no notes to train on
    tables = {name: dict(list(carried.read(chosen, name).groupby("cell"))) for name in FRAMES if kept}
    about, parts = [], {name: [] for name in FRAMES}
    for cell in cells(chosen):
        if cell.name not in runs.keys() | kept:
            continue
        run = runs.get(cell.name)
        place = run.folder if run else carried.folder(chosen) / "cells" / cell.name
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
