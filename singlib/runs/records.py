"""The records of a profile as tidy frames: what figures, tables and claims are made of, without torch.

They come from the runs of this machine (`singlib.runs.run_folder`), and where a cell has none, from the records that
come with the project (`singlib.runs.recorded`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from .. import nsynth
from ..files import project_folder, read_json
from ..grid import Cell, Profile, cells, profile_named
from . import recorded
from .run_folder import Run


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
        ``activation_mean`` and ``activation_std`` (see `singlib.network.stages.Trainer.activations`), ``grading`` (of
        which `singlib.runs.run_folder.GRADING` its grades are).
    carried : frozenset of str
        Names of the cells whose records are those that come with the project.
    """

    profile: Profile
    history: pd.DataFrame
    quality: pd.DataFrame
    missing: list[str]
    about: pd.DataFrame = field(default_factory=pd.DataFrame)
    carried: frozenset[str] = frozenset()

    def nothing(self) -> str:
        """Say in a sentence what to do where no model is finished; empty if one is."""
        if len(self.about):
            return ""
        name = self.profile.name
        return (
            f"No model of profile {name} is finished. Train some with `singlib run --profile {name}`, or choose a "
            "profile whose records come with the project: recorded, recorded-many-updates."
        )

    def folder(self, cell: str) -> Path:
        """Return where ``cell.json`` and ``done.json`` of a cell, by name, are."""
        if cell in self.carried:
            return recorded.cell_folder(self.profile, cell)
        return project_folder() / "runs" / self.profile.name / cell

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
        Unfinished, stale and damaged cells are only named, in `Records.missing`. A run of this machine goes before the
        records that come with the project.

    Raises
    ------
    FileNotFoundError
        If there are neither the profile's notes nor records of it.
    ValueError
        If the profile's notes, or the tables of all carried cells, are damaged.
    """
    chosen = profile_named(profile)
    kept = {cell.name for cell in recorded.fresh(chosen)}
    own = {run.cell.name: run for run in (Run(cell, chosen) for cell in cells(chosen)) if run.state() == "done"}
    if not kept and not own:
        nsynth.index(chosen.data)
    kept -= own.keys()
    found = Records(chosen, pd.DataFrame(), pd.DataFrame(), [], carried=frozenset(kept))
    tables = {name: dict(list(recorded.read(chosen, name).groupby("cell"))) for name in recorded.FRAMES if kept}
    facts, parts, missing = [], {name: [] for name in recorded.FRAMES}, []
    for cell in cells(chosen):
        try:
            if cell.name not in own.keys() | kept:
                raise KeyError(cell.name)
            row = describe(cell) | _facts(found.folder(cell.name))
            run = own.get(cell.name)
            rows = [run.frame(name) if run else tables[name][cell.name] for name in recorded.FRAMES]
        except (FileNotFoundError, ValueError, KeyError):
            missing.append(cell.name)
            continue
        facts.append(row)
        for name, part in zip(recorded.FRAMES, rows, strict=True):
            parts[name].append(part.assign(cell=cell.name))
    described = pd.DataFrame([describe(cell) for cell in cells(chosen)])
    frames = {
        name: pd.concat(part).merge(described, on="cell", how="left") if part else pd.DataFrame()
        for name, part in parts.items()
    }
    return replace(found, **frames, missing=missing, about=pd.DataFrame(facts), carried=frozenset(kept - set(missing)))


def _facts(folder: Path) -> dict:
    """Return what `Records.about` has of a finished cell; ValueError names its ``cell.json`` if that is damaged."""
    noted, marker = (read_json(folder / name) for name in ("cell.json", "done.json"))
    try:
        return _cost(noted) | noted.get("activations", {}) | {"grading": marker["grading"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / 'cell.json'} is damaged (no {error})") from error


def _cost(noted: dict) -> dict:
    """Return device and seconds of a cell.json; wall time on a CPU tells of other jobs, too."""
    by_cpu = noted.get("device_type") == "cpu" and "cpu_seconds" in noted
    seconds = noted["cpu_seconds" if by_cpu else "seconds"]
    machine = [noted["platform"]] if noted.get("device_type") == "cpu" else []  # "cpu" is any
    device = ", ".join([noted["device"], *machine]) + ", CPU time" * by_cpu
    return {"device": device} | {f"seconds_{stage}": value for stage, value in seconds.items()}
