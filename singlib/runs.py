"""What a run leaves on disk, and how far it is.

``runs/<profile>/<cell>/`` holds, in the order they are written:

- ``checkpoint.safetensors``: weights, optimiser and history after the last whole epoch; gone when done;
- ``history.csv``: tidy, one row for each stage, epoch and spectrum;
- ``sing.safetensors``: weights of the trained generator;
- ``generated/<role>-<pitch>-<velocity>.flac`` and ``quality.csv``: what it sounds like;
- ``cell.json``: provenance; ``done.json``: the marker that everything above is whole;
- ``train.ipynb``: the executed notebook.

Every file is written beside its place and renamed, so that a kill leaves the old one or the new one.
`singlib.records` reads it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import nsynth
from .files import locked, remove_debris, replacing, write_json
from .grid import ROOT, Cell, Profile

# Raise this when a change makes the same cell end with other numbers: records of an older recipe are
# then stale. tests/test_training.py holds a short golden history and fails when it is forgotten.
RECIPE = 1

# Raise this when measures or grades of the same notes change (quality.py, measures.py): finished runs are then
# "ungraded" and graded again from the notes they generated, without training.
GRADING = 3

# Of a profile, what decides over the numbers of one cell.
_SHAPING = ("data", "channels", "dimension", "hidden", "layers", "epochs", "batch", "learning_rate", "eps", "threads")


def recipe(cell: Cell, profile: Profile, data_digest: str) -> dict:
    """Return all that decides over the numbers of a cell, as JSON gives it back."""
    sizes = {key: value for key, value in asdict(profile.sized(cell)).items() if key in _SHAPING}
    every = {"recipe": RECIPE, "cell": asdict(cell), "sizes": sizes, "data_digest": data_digest}
    return json.loads(json.dumps(every))


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
        self.cell, self.profile = cell, profile.sized(cell)
        self.folder = ROOT / "runs" / profile.name / cell.name
        self.recipe = recipe(cell, profile, nsynth.digest(profile.data, cell.roles))
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
