"""What comes with the project of a grid, ``data/<profile>/``: a report needs neither the runs nor the notes.

- ``history.parquet``, ``quality.parquet``: of all cells;
- ``cells/<cell>/cell.json``, ``done.json``, ``generated/``: provenance, marker, and the notes that the report plays;
- ``<data>.csv``: what notes the data have; ``targets/``: those that Figures 16-22 show;
- ``models/``: weights of some models, each with a card (`singlib.runs.model_cards`).
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import soundfile

from .. import nsynth
from ..files import project_folder, read_json, read_table, replacing, write_json
from ..grid import Cell, Profile, cells, check_choice
from ..nsynth import selection
from .run_folder import COLUMNS, Run, recipe

FRAMES = tuple(COLUMNS)  # "history" and "quality"


def folder(profile: Profile) -> Path:
    """Return ``data/<profile>``, where the records are that come with the project."""
    return project_folder() / "data" / profile.name


def fresh_cells(profile: Profile) -> list[Cell]:
    """List the cells whose carried marker is of the current recipe, and of the notes if these are here.

    Their grades may be of an older `singlib.runs.run_folder.GRADING` (`Records.about` says which): they
    come without the notes to grade again.
    """
    here = nsynth.at_hand(profile.data)
    kept = []
    for cell in cells(profile):
        try:
            made_by = read_json(folder(profile) / "cells" / cell.name / "done.json").get("recipe") or {}
        except (FileNotFoundError, ValueError):
            continue
        digest = nsynth.digest(profile.data, cell.roles) if here else made_by.get("data_digest")
        if made_by == recipe(cell, profile, digest):
            kept.append(cell)
    return kept


def read(profile: Profile, name: str) -> pd.DataFrame:
    """Return one of `FRAMES`: the rows of every carried cell, with a column ``cell``; ValueError if it is damaged."""
    try:
        return read_table(folder(profile) / f"{name}.parquet", {"cell"} | COLUMNS[name])
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
    return folder(profile) / "targets" / f"{label}.flac"


def carry(profile: Profile, played: Mapping[str, list[nsynth.Label]], models: Sequence[str] = ()) -> list[str]:
    """Put the finished runs of a profile into ``data/<profile>/``, and return the names of all cells there now.

    With them go the generated notes that a report plays, `played` (labels by cell), and the weights of the cells named
    in `models` and of those whose older weights are there. FileNotFoundError or ValueError if the profile's notes are
    missing, a model is none of its finished ones, or nothing is finished; and if a cell that is there already is of
    another recipe or of other notes, and no finished run would replace it.
    """
    notes = nsynth.index(profile.data)  # without them no run is known to be fresh
    runs = (Run(cell, profile) for cell in cells(profile))
    finished = {run.cell.name: run for run in runs if run.state() == "done"}
    for name in models:
        check_choice("cell", name, finished)
    place = folder(profile)
    for marker in place.glob("cells/*/done.json"):
        read_json(marker)  # raises at a damaged one before anything is taken out
    kept = {cell.name for cell in fresh_cells(profile)}
    names = [cell.name for cell in cells(profile) if cell.name in kept | finished.keys()]
    if not names:
        raise ValueError(
            f"no run of {profile.name} is finished: train some with `singlib run --profile {profile.name}`"
        )
    others = sorted({marker.parent.name for marker in place.glob("cells/*/done.json")} - set(names))
    if others:
        raise ValueError(
            f"{place} has {len(others)} cells of another recipe, or of other notes than data/{profile.data} holds now "
            f"({others[0]} is one), which would be lost: move {place} away to begin anew"
        )
    for name in FRAMES:
        parts = dict(list(read(profile, name).groupby("cell"))) if kept else {}
        parts |= {cell: run.frame(name).assign(cell=cell) for cell, run in finished.items()}
        lost = [cell for cell in names if cell not in parts]
        if lost:
            raise ValueError(f"{place / name}.parquet is damaged: it has no rows of {', '.join(lost)}")
        with replacing(place / f"{name}.parquet") as beside:
            pd.concat([parts[cell] for cell in names]).to_parquet(beside, index=False, compression="zstd")
    for cell_folder in (place / "cells").glob("*"):
        if cell_folder.name in finished or cell_folder.name not in kept:
            shutil.rmtree(cell_folder)
    for run in finished.values():
        cell_folder, labels = place / "cells" / run.cell.name, played.get(run.cell.name, [])
        (cell_folder / "generated" if labels else cell_folder).mkdir(parents=True)
        for label in labels:
            shutil.copyfile(run.generated_file(label), cell_folder / "generated" / f"{label}.flac")
        shutil.copyfile(run.folder / "cell.json", cell_folder / "cell.json")
        marker = read_json(run.folder / "done.json")
        marker.pop("files", None)  # of the run's folder, not of what is carried
        write_json(cell_folder / "done.json", marker)  # last: a kill leaves nothing that looks whole
    with replacing(place / f"{profile.data}.csv") as beside:
        pd.DataFrame(notes.keys()).to_csv(beside, index=False)
    for role, note in selection.FIGURE_NOTES.items():
        label = selection.nearest(profile.data, role, *note)
        samples, rate = soundfile.read(notes[label], dtype="int16")
        with replacing(place / "targets" / f"{label}.flac") as beside:
            soundfile.write(beside, samples, rate)
    from .model_cards import publish  # imports torch, which who only reads does without

    older = {file.stem for file in (place / "models").glob("*.safetensors")}  # of a run that was trained anew since
    for name in sorted({*models, *(older & finished.keys())}):
        publish(finished[name])
    return names
