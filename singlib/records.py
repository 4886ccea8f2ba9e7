"""What a run leaves on disk, and how it is read again.

``runs/<profile>/<cell>/`` holds, in the order they are written:

- ``checkpoint.safetensors``: weights, optimiser and history after the last whole epoch; gone when done;
- ``history.csv``: tidy, one row for each stage, epoch and spectrum;
- ``sing.safetensors``: weights of the trained generator;
- ``generated/<role>-<pitch>-<velocity>.flac`` and ``quality.csv``: what it sounds like;
- ``cell.json``: provenance; ``done.json``: the marker that everything above is whole;
- ``train.ipynb``: the executed notebook.

Every file is written beside its place and renamed, so that a kill leaves the old one or the new one.
This module knows no torch: figures and tables are made from records alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import nsynth
from .files import locked, remove_debris, replacing, write_json
from .grid import ROOT, Cell, Profile, cells, profile_named

# Raise this when a change makes the same cell end with other numbers: records of an older recipe are
# then stale. tests/test_training.py holds a short golden history and fails when it is forgotten.
RECIPE = 1

# Raise this when measures or grades of the same notes change (quality.py, measures.py): finished runs are then
# "ungraded" and graded again from the notes they generated, without training.
GRADING = 2

# Of a profile, what decides over the numbers of one cell.
_SHAPING = ("data", "channels", "dimension", "hidden", "layers", "epochs", "batch", "learning_rate", "eps", "threads")


class Run:
    """The records of one cell at one profile.

    Parameters
    ----------
    cell : Cell
        The model.
    profile : Profile
        What it is trained on, and its size.

    Attributes
    ----------
    folder : Path
        ``runs/<profile>/<cell>``.
    recipe : dict
        All that decides over the numbers: cell, sizes, data digest and `RECIPE`.
    signature : str
        SHA-256 of `recipe`; what is on disk with another signature is stale.

    Raises
    ------
    FileNotFoundError, ValueError
        If the profile's data are missing or damaged.
    """

    def __init__(self, cell: Cell, profile: Profile) -> None:
        self.cell, self.profile = cell, profile
        self.folder = ROOT / "runs" / profile.name / cell.name
        sizes = {key: value for key, value in asdict(profile).items() if key in _SHAPING}
        data = {"data_digest": nsynth.digest(profile.data, cell.roles)}
        self.recipe = json.loads(json.dumps({"recipe": RECIPE, "cell": asdict(cell), "sizes": sizes} | data))
        self.signature = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Run({self.profile.name}/{self.cell.name}: {self.state()})"

    @property
    def history_file(self) -> Path:
        """The loss of every stage, epoch and spectrum."""
        return self.folder / "history.csv"

    @property
    def weights_file(self) -> Path:
        """The trained generator."""
        return self.folder / "sing.safetensors"

    def generated_file(self, label: nsynth.Label) -> Path:
        """Return where a generated note is."""
        return self.folder / "generated" / f"{label}.flac"

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.folder / "train.ipynb"

    def state(self) -> str:
        """Return how far the run is.

        "done", "ungraded" (trained, but graded by an older `GRADING`), "begun", "missing", "stale" (of other
        parameters, data or recipe) or "damaged".
        """
        try:
            found = self._marker() or self._checkpoint_about()
        except ValueError:
            return "damaged"
        if found is None:
            return "missing"
        if found["signature"] != self.signature:
            return "stale"
        if not self._marker():
            return "begun"
        return "done" if found.get("grading") == GRADING else "ungraded"

    def check(self) -> None:
        """Raise a ValueError that names a damaged file, if there is one."""
        self._marker()
        self._checkpoint_about()

    def stale_because(self) -> str:
        """Return what differs between the records on disk and this run; ValueError names a damaged file."""
        found = self._marker() or self._checkpoint_about() or {}
        old, new = _flat(found.get("recipe", {})), _flat(self.recipe)
        changes = {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}
        if changes.pop("data_digest", None):
            changes["the notes"] = ("other files", f"those in data/{self.profile.data} now")
        return ", ".join(f"{key} ({before} -> {now})" for key, (before, now) in changes.items()) or "nothing"

    @property
    def lock(self) -> Path:
        """The file that the process locks that trains this cell."""
        return self.folder.parent / ".locks" / self.cell.name

    @property
    def failure_file(self) -> Path:
        """Why the last attempt failed; not there if it did not."""
        return self.folder.parent / ".failed" / f"{self.cell.name}.json"

    def progress(self) -> dict | None:
        """Return stage, epoch and seconds (by stage) of the last whole epoch of a begun run."""
        return self._checkpoint_about()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder for this process; wait while another one holds it. A kill lets it go."""
        with locked(self.lock, f"{self.cell.name}: another process trains it, waiting"):
            remove_debris(self.folder)
            yield

    def set_aside_if_stale(self) -> Path | None:
        """Move records that are not of this recipe to ``runs/<profile>/.stale``; nothing is deleted."""
        found = self._marker() or self._checkpoint_about()
        if found is None or found["signature"] == self.signature:
            return None
        aside = self.folder.parent / ".stale" / f"{self.cell.name}-{found['signature'][:8]}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{self.cell.name}-{found['signature'][:8]}-{number}")
        return self.folder.rename(aside)

    def save_checkpoint(self, tensors: dict[str, np.ndarray], about: dict) -> None:
        """Keep what a killed run needs to go on: arrays, and facts that JSON can hold."""
        about = about | {"signature": self.signature, "recipe": self.recipe}
        with replacing(self._checkpoint) as beside:
            save_file(tensors, beside, metadata={"about": json.dumps(about)})

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """Return what `save_checkpoint` kept, or None."""
        about = self._checkpoint_about()
        if about is None or about["signature"] != self.signature:
            return None
        with safe_open(self._checkpoint, "numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118 (no mapping)

    def write_history(self, rows: list[dict]) -> None:
        """Write history.csv: stage, epoch, updates, spectrum, role (train or side), loss."""
        with replacing(self.history_file) as beside:
            pd.DataFrame(rows).to_csv(beside, index=False)

    def save_weights(self, tensors: dict[str, np.ndarray], about: dict) -> None:
        """Write the trained generator with what is needed to build it again."""
        with replacing(self.weights_file) as beside:
            save_file(tensors, beside, metadata={"about": json.dumps(about)})

    def finish(self, provenance: dict) -> None:
        """Write cell.json, then the marker, then drop the checkpoint."""
        write_json(self.folder / "cell.json", provenance)
        self.mark()
        self._checkpoint.unlink(missing_ok=True)

    def mark(self) -> None:
        """Write the marker that all is whole and graded."""
        write_json(self.folder / "done.json", {"signature": self.signature, "grading": GRADING, "recipe": self.recipe})

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def _marker(self) -> dict | None:
        marker = self.folder / "done.json"
        if not marker.exists():
            return None
        try:
            return json.loads(marker.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{marker} is damaged ({error}); delete {self.folder} to train the cell again") from error

    def _checkpoint_about(self) -> dict | None:
        if not self._checkpoint.exists():
            return None
        try:
            with safe_open(self._checkpoint, "numpy") as file:
                return json.loads(file.metadata()["about"])
        except SafetensorError as error:
            raise ValueError(f"{self._checkpoint} is damaged ({error}); delete it to start the cell again") from error


def _flat(recipe: dict) -> dict:
    """Return a recipe with the parameters of cell and sizes beside its own."""
    inner = {key: value for part in ("cell", "sizes") for key, value in recipe.get(part, {}).items()}
    return {key: value for key, value in recipe.items() if key not in ("cell", "sizes")} | inner


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
        A row for each finished cell: columns of `describe`, ``device``, ``seconds`` of each stage ("seconds_lstm"),
        ``activation_mean`` and ``activation_std`` (see `singlib.stages.Trainer.activations`).
    """

    profile: Profile
    history: pd.DataFrame
    quality: pd.DataFrame
    missing: list[str]
    about: pd.DataFrame = field(default_factory=pd.DataFrame)

    def folder(self, cell: Cell) -> Path:
        """Return where a cell's records are."""
        return ROOT / "runs" / self.profile.name / cell.name

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
        Unfinished and stale cells are only named, in `Records.missing`.
    """
    chosen = profile_named(profile)
    frames: dict[str, list[pd.DataFrame]] = {"history": [], "quality": []}
    missing, facts = [], []
    for cell in cells(chosen):
        run = Run(cell, chosen)
        if run.state() != "done":
            missing.append(cell.name)
            continue
        about = describe(cell)
        for name, parts in frames.items():
            parts.append(pd.read_csv(run.folder / f"{name}.csv").assign(**about))
        found = json.loads((run.folder / "cell.json").read_text())
        seconds = {f"seconds_{stage}": value for stage, value in found["seconds"].items()}
        facts.append(about | {"device": found["device"]} | seconds | found.get("activations", {}))
    joined = {name: pd.concat(parts) if parts else pd.DataFrame() for name, parts in frames.items()}
    return Records(chosen, joined["history"], joined["quality"], missing, pd.DataFrame(facts))
