"""What a run leaves on disk, and how far it is.

``runs/<profile>/<cell>/`` holds, in the order they are written:

- ``checkpoint.safetensors``: weights, optimiser and history after the last whole epoch; gone when done;
- ``history.csv``: tidy, one row for each stage, epoch and spectrum;
- ``sing.safetensors``: weights of the trained generator;
- ``generated/<role>-<pitch>-<velocity>.flac`` and ``quality.csv``: what it sounds like;
- ``cell.json``: provenance; ``done.json``: the marker that everything above is whole, with fingerprints;
- ``train.ipynb``: the executed notebook.

Every file is written beside its place and renamed, so that a kill leaves the old one or the new one.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .. import nsynth
from ..files import locked, naming_damage, project_folder, read_json, read_table, remove_debris, replacing, write_json
from ..grid import Cell, Profile

# Raise this when a change gives the same cell other numbers: older records are then stale. The golden history of
# tests/test_training.py fails if it is forgotten.
RECIPE = 1

# Raise this when grading/ changes measures or grades of the same notes: finished runs are then "ungraded", and graded
# again without training.
GRADING = 3

# What a finished run has beside its generated notes, and the columns of its tables that readers rely on.
RECORDS = ("cell.json", "history.csv", "quality.csv", "sing.safetensors")
COLUMNS = {
    "history": {"stage", "epoch", "updates", "spectrum", "role", "loss"},
    "quality": {"role", "pitch", "velocity", "grade", "pitch_heard", "noise", "target_noise", "brightness"}
    | {"onset", "decay", "release"},
}

# What a profile contributes to the numbers of a cell.
_SHAPING = ("data", "channels", "dimension", "hidden", "layers", "epochs", "batch", "learning_rate", "eps", "threads")
# Likewise, but named only where they differ from what was before there was a choice: older records stay fresh.
_NEWER = {"optimiser": "adam", "warm_up": 0, "schedule": "constant", "averaged_epochs": 0, "bfloat16": False}


def recipe(cell: Cell, profile: Profile, data_digest: str) -> dict:
    """Return all that determines the numbers of a cell, as it is read back from JSON."""
    given = asdict(profile.sized(cell))
    sizes = {key: given[key] for key in _SHAPING} | {key: given[key] for key in _NEWER if given[key] != _NEWER[key]}
    every = {"recipe": RECIPE, "cell": asdict(cell), "sizes": sizes, "data_digest": data_digest}
    return json.loads(json.dumps(every))


def recorded_profile(facts: dict) -> Profile:
    """Return the profile that a ``cell.json`` was made with; ValueError or TypeError if it does not say."""
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["sizes"].items()}
    return Profile(name=facts["profile"], **sizes)


class Run:
    """The records of one cell at one profile; FileNotFoundError or ValueError if the profile's data are damaged.

    Its `folder` is ``runs/<profile>/<cell>``; `lock` is locked by the process that trains the cell, `failure_file` says
    why the last attempt failed, if it did. `recipe` is all that determines the numbers: cell, sizes, data digest and
    `RECIPE`. Without the profile's notes, records on disk are taken to be of them. `signature` is the SHA-256 of
    `recipe`; what is on disk with another signature is stale.
    """

    def __init__(self, cell: Cell, profile: Profile) -> None:
        self.cell, self.profile = cell, profile.sized(cell)
        every = project_folder() / "runs" / profile.name
        self.folder = every / cell.name
        self.history_file, self.weights_file = self.folder / "history.csv", self.folder / "sing.safetensors"
        self.notebook = self.folder / "train.ipynb"
        self.lock, self.failure_file = every / ".locks" / cell.name, every / ".failed" / f"{cell.name}.json"
        here = nsynth.at_hand(profile.data)
        self.recipe = recipe(cell, profile, nsynth.digest(profile.data, cell.roles) if here else self._digest_on_disk())
        self.signature = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Run({self.profile.name}/{self.cell.name}: {self.state()})"

    def generated_file(self, label: nsynth.Label) -> Path:
        """Return the file of a generated note."""
        return self.folder / "generated" / f"{label}.flac"

    def state(self) -> str:
        """Return how far the run is.

        "done", "ungraded" (graded by an older `GRADING`), "begun", "missing", "stale" (of other parameters, data or
        recipe) or "damaged" (see `damage`).
        """
        return self._state_and_damage()[0]

    def is_finished(self) -> bool:
        """Say whether the run is done and its executed notebook is there: a grid has nothing left to do for it."""
        return self.state() == "done" and self.notebook.exists()

    def damage(self) -> str:
        """Say which file is damaged or gone, and how; empty if none is."""
        return self._state_and_damage()[1]

    def _state_and_damage(self) -> tuple[str, str]:
        try:
            about = self._on_disk()
            if about is None:
                for name in RECORDS:
                    if (self.folder / name).exists():
                        raise ValueError(f"{self.folder / 'done.json'} is gone, but {name} is there")
                return "missing", ""
            if about["signature"] != self.signature:
                return "stale", ""
            if "stage" in about:  # a checkpoint's
                return "begun", ""
            graded = about.get("grading") == GRADING
            self._check_whole(about, graded)
            return "done" if graded else "ungraded", ""
        except ValueError as error:
            return "damaged", str(error)

    def facts(self) -> dict:
        """Return cell.json; FileNotFoundError or ValueError if it is gone or damaged."""
        return read_json(self.folder / "cell.json")

    def frame(self, name: str) -> pd.DataFrame:
        """Return the table "history" or "quality"; FileNotFoundError or ValueError if it is gone or damaged."""
        return read_table(self.folder / f"{name}.csv", COLUMNS[name])

    def stale_because(self) -> str:
        """Return what differs between the records on disk and this run; ValueError names a damaged file."""
        recorded = (self._on_disk() or {}).get("recipe", {})
        old, new = _NEWER | _flat(recorded), _NEWER | _flat(self.recipe)
        changes = {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}
        if changes.pop("data_digest", None):
            changes["the notes"] = ("other files", f"those in data/{self.profile.data} now")
        return ", ".join(f"{key} ({before} -> {now})" for key, (before, now) in changes.items()) or "nothing"

    def progress(self) -> dict | None:
        """Return what the checkpoint says of itself: stage, epoch, seconds by stage; None if there is none."""
        checkpoint = self._read_checkpoint()
        return checkpoint and checkpoint[1]

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Lock the folder for this process; wait while another one has it."""
        with locked(self.lock, f"{self.cell.name}: another process trains it, waiting"):
            remove_debris(self.folder)
            yield

    def set_aside(self) -> Path:
        """Move the folder to ``runs/<profile>/.stale``, where nothing is deleted, and return its new path."""
        kind = "damaged"
        with suppress(ValueError):
            kind = (self._on_disk() or {"signature": kind})["signature"][:8]
        first = self.folder.parent / ".stale" / f"{self.cell.name}-{kind}"
        first.parent.mkdir(parents=True, exist_ok=True)
        others = (first.with_name(f"{first.name}-{number}") for number in count(2))
        return self.folder.rename(next(aside for aside in chain([first], others) if not aside.exists()))

    def save_checkpoint(self, tensors: dict[str, np.ndarray], about: dict) -> None:
        """Keep what a killed run needs to resume: arrays, and facts for JSON."""
        _save(self._checkpoint, tensors, about | {"signature": self.signature, "recipe": self.recipe})

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """Return what `save_checkpoint` kept, None if there is none of this recipe; ValueError names a damaged file."""
        checkpoint = self._read_checkpoint(tensors=True)
        return checkpoint if checkpoint and checkpoint[1]["signature"] == self.signature else None

    def write_history(self, rows: list[dict]) -> None:
        """Write history.csv: stage, epoch, updates, spectrum, role (train or side), loss."""
        with replacing(self.history_file) as beside:
            pd.DataFrame(rows).to_csv(beside, index=False)

    def save_weights(self, tensors: dict[str, np.ndarray], about: dict) -> None:
        """Write the trained generator with what `load_model` needs to build it."""
        _save(self.weights_file, tensors, about)

    def finish(self, provenance: dict) -> None:
        """Write cell.json, then the marker, then drop the checkpoint."""
        write_json(self.folder / "cell.json", provenance)
        self.mark()
        self.drop_checkpoint()

    def drop_checkpoint(self) -> None:
        """Delete the checkpoint of a finished run."""
        self._checkpoint.unlink(missing_ok=True)

    def mark(self) -> None:
        """Write the marker: all is whole and graded."""
        names = [*RECORDS, *(f"generated/{file.name}" for file in sorted((self.folder / "generated").glob("*")))]
        files = {name: _fingerprint(self.folder / name) for name in names if (self.folder / name).exists()}
        marker = {"signature": self.signature, "grading": GRADING, "recipe": self.recipe, "files": files}
        write_json(self.folder / "done.json", marker)

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def _on_disk(self) -> dict | None:
        """Return the marker, else what the checkpoint says of itself, else None."""
        # Twice: a run may finish between the first two looks.
        return self._marker() or self.progress() or self._marker()

    def _digest_on_disk(self) -> str:
        with suppress(ValueError):
            return (self._on_disk() or {"recipe": {}})["recipe"].get("data_digest", "")
        return ""

    def _check_whole(self, marker: dict, graded: bool) -> None:
        """Raise a ValueError that names a file that is gone or changed since the marker was written."""
        files = marker.get("files")
        if files is None:  # of an older singlib, without fingerprints
            notes = (self.folder / "generated").glob("*.flac")
            files = dict.fromkeys([*RECORDS, next((f"generated/{file.name}" for file in notes), "generated")])
        for name, was in files.items():
            if name == "quality.csv" and not graded:
                continue
            try:
                now = _fingerprint(self.folder / name)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise ValueError(f"{self.folder / name} is gone, but was there when the run finished") from error
            if not now or was not in (None, now):
                raise ValueError(f"{self.folder / name} is damaged: not what it was when the run finished")
        if "files" not in marker:
            self.facts()
            self.frame("history")
            if graded:
                self.frame("quality")

    def _marker(self) -> dict | None:
        path = self.folder / "done.json"
        with suppress(FileNotFoundError):
            return _signed(read_json(path), path)
        return None

    def _read_checkpoint(self, tensors: bool = False) -> tuple[dict[str, np.ndarray], dict] | None:
        """Return a checkpoint's arrays, none of them unless `tensors`, and what it says of itself."""
        with suppress(FileNotFoundError), naming_damage(self._checkpoint, SafetensorError, KeyError):
            with self._checkpoint.open("rb"):  # safetensors reports an unreadable file as missing
                pass
            with safe_open(self._checkpoint, "numpy") as file:
                about = _signed(json.loads((file.metadata() or {})["about"]), self._checkpoint)
                names = list(file.keys()) if tensors else []
                return {name: file.get_tensor(name) for name in names}, about | {"stage": about["stage"]}
        return None


def _fingerprint(path: Path) -> str | int:
    """Return what tells a file from another: a text's digest; of sounds and weights only the size, which is quick."""
    if path.suffix in (".json", ".csv"):
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    return path.stat().st_size


def _save(path: Path, tensors: dict[str, np.ndarray], about: dict) -> None:
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"about": json.dumps(about)})


def _signed(about: dict, path: Path) -> dict:
    """Return what a marker or checkpoint says; ValueError names the file if it does not say which run it is of."""
    kinds = {"recipe": dict, "signature": str, "files": dict}
    if not all(isinstance(about.get(name, {} if name == "files" else None), kind) for name, kind in kinds.items()):
        raise ValueError(f"{path} is damaged (it does not say which run it is of)")
    return about


def _flat(recipe: dict) -> dict:
    """Return a recipe with the entries of cell and sizes at its top level."""
    inner = {key: value for part in ("cell", "sizes") for key, value in recipe.get(part, {}).items()}
    return {key: value for key, value in recipe.items() if key not in ("cell", "sizes")} | inner
