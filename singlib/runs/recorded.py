"""The records that come with the project, ``data/<profile>/``: a report needs neither the runs nor the notes.

- ``history.parquet``, ``quality.parquet``: of all cells;
- ``cells/<cell>/cell.json``, ``done.json``, ``generated/``: provenance, marker, and the notes that the report plays;
- ``<data>.csv``: what notes the data have; ``targets.safetensors``: spectrograms of those that Figures 16-22 show;
- ``models/``: weights of some models, each with a card (`singlib.runs.models`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from .. import nsynth
from ..files import project_folder, read_json, replacing, write_json
from ..grid import Cell, Profile, cells
from .run_folder import Run, recipe

FRAMES = ("history", "quality")


def folder(profile: Profile) -> Path:
    """Return ``data/<profile>``."""
    return project_folder() / "data" / profile.name


def cell_folder(profile: Profile, cell: str) -> Path:
    """Return the folder of provenance and notes of a cell, by name."""
    return folder(profile) / "cells" / cell


def fresh(profile: Profile) -> list[Cell]:
    """List the cells whose carried marker is of the current recipe, and of the notes if these are here.

    Their grades may be of an older `singlib.runs.run_folder.GRADING` (`singlib.runs.records.Records.about` says which):
    they come without the notes to grade again.
    """
    return [cell for cell in cells(profile) if _is_fresh(cell, profile)]


def _is_fresh(cell: Cell, profile: Profile) -> bool:
    try:
        found = read_json(cell_folder(profile, cell.name) / "done.json").get("recipe") or {}
    except (FileNotFoundError, ValueError):
        return False
    here = nsynth.at_hand(profile.data)
    digest = nsynth.digest(profile.data, cell.roles) if here else found.get("data_digest")
    return found == recipe(cell, profile, digest)


def read(profile: Profile, name: str) -> pd.DataFrame:
    """Return one of `FRAMES`: the rows of every carried cell, with a column ``cell``; ValueError if it is damaged."""
    path = folder(profile) / f"{name}.parquet"
    try:
        found = pd.read_parquet(path)
        if "cell" not in found:
            raise ValueError("no column cell")
    except (ValueError, IsADirectoryError) as error:  # pyarrow's own are ValueErrors
        raise ValueError(f"{path} is damaged ({error}); get it again, for example with git checkout") from error
    return found


def history_of(place: Path) -> pd.DataFrame:
    """Return the history of the cell whose ``cell.json`` is in a folder, a run's or a carried one."""
    if (place / "history.csv").is_file():
        return pd.read_csv(place / "history.csv")
    rows = pd.read_parquet(place.parents[1] / "history.parquet")
    return rows[rows.cell == place.name]


def target(profile: Profile, label: nsynth.Label) -> np.ndarray:
    """Return the carried spectrogram of a note, power ``(513, frames)``."""
    return load_file(folder(profile) / "targets.safetensors")[str(label)].astype(float)


def carry(profile: Profile, heard: dict[str, list[nsynth.Label]], targets: dict[nsynth.Label, np.ndarray]) -> list[str]:
    """Put the finished runs of a profile into ``data/<profile>/``, beside those that are there.

    Parameters
    ----------
    profile : Profile
    heard : dict
        Name of a cell -> labels of its generated notes to carry.
    targets : dict
        Label -> power spectrogram of the notes to be shown as targets.

    Returns
    -------
    list of str
        Names of the cells that are carried now; those whose records are no longer fresh are taken out.

    Raises
    ------
    FileNotFoundError
        If the notes are missing: without them no run is known to be fresh.
    """
    nsynth.index(profile.data)
    for marker in folder(profile).glob("cells/*/done.json"):
        read_json(marker)  # raises at a damaged one before anything is taken out
    runs = (Run(cell, profile) for cell in cells(profile))
    finished = {run.cell.name: run for run in runs if run.state() == "done"}
    kept = {cell.name for cell in fresh(profile)}
    names = [cell.name for cell in cells(profile) if cell.name in kept | finished.keys()]
    for name in FRAMES:
        parts = dict(list(read(profile, name).groupby("cell"))) if kept else {}
        parts |= {cell: run.frame(name).assign(cell=cell) for cell, run in finished.items()}
        lost = [cell for cell in names if cell not in parts]
        if lost:
            raise ValueError(f"{folder(profile) / name}.parquet is damaged: it has no rows of {', '.join(lost)}")
        with replacing(folder(profile) / f"{name}.parquet") as beside:
            pd.concat([parts[cell] for cell in names]).to_parquet(beside, index=False, compression="zstd")
    for place in (folder(profile) / "cells").glob("*"):
        if place.name in finished or place.name not in kept:
            shutil.rmtree(place)
    for run in finished.values():
        _copy(run, cell_folder(profile, run.cell.name), heard.get(run.cell.name, []))
    labels = pd.DataFrame(nsynth.index(profile.data).keys())
    with replacing(folder(profile) / f"{profile.data}.csv") as beside:
        labels.to_csv(beside, index=False)
    with replacing(folder(profile) / "targets.safetensors") as beside:
        # contiguous: safetensors ignores strides
        save_file({str(label): np.ascontiguousarray(power, np.float32) for label, power in targets.items()}, beside)
    return names


def _copy(run: Run, place: Path, heard: list[nsynth.Label]) -> None:
    """Copy what is carried of one run, its marker last: a kill leaves nothing that looks whole."""
    place.mkdir(parents=True)
    for label in heard:
        (place / "generated").mkdir(exist_ok=True)
        shutil.copyfile(run.generated_file(label), place / "generated" / f"{label}.flac")
    shutil.copyfile(run.folder / "cell.json", place / "cell.json")
    marker = read_json(run.folder / "done.json")
    marker.pop("files", None)  # of the run's folder, not of what is carried
    write_json(place / "done.json", marker)
