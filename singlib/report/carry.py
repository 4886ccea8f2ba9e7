"""What of finished runs is committed under ``data/<profile>/``: their records, and the sounds that a report plays."""

import shutil
from collections.abc import Sequence

import pandas as pd
import soundfile

from .. import nsynth
from ..files import read_json, replacing, write_json
from ..grid import PAPER_ACTIVATIONS, PAPER_LOSSES, Cell, Profile, cells, check_choice
from ..listening.spectrograms import Note
from ..nsynth import Label, selection
from ..runs.model_cards import publish
from ..runs.records import FRAMES, carried_cells, carried_folder, read_carried
from ..runs.run_folder import Run
from .figures import FIGURES

# Which note 06-open-question plays as models of every loss and activation make it: instrument set -> role.
COMPARED = {"keys": "keys", "k+m+v": "keys", "brass1-5": "brass1"}


def compared_models(instruments: str) -> dict[str, Cell]:
    """Return the corrected models of a set that are played side by side, by name: "STFT, ReLU"."""
    return {
        f"{loss}, {activation}": Cell(instruments, activation, loss)
        for loss in PAPER_LOSSES
        for activation in PAPER_ACTIVATIONS
    }


def notes_played(profile: Profile) -> dict[str, list[Label]]:
    """Return what the report plays, which records are to be carried with: cell -> labels of its notes.

    Of the models of Figures 16-22 that is all they generate.
    """
    notes = {
        cell.name: [selection.nearest(profile.data, role, *selection.FIGURE_NOTES[role])]
        for instruments, role in COMPARED.items()
        for cell in compared_models(instruments).values()
    }
    for cell in (figure.cell for figure in FIGURES.values() if isinstance(figure, Note)):
        notes[cell.name] = [label for role in cell.roles for label in selection.notes_to_generate(profile.data, role)]
    return notes


def carry_runs(profile: Profile, models: Sequence[str] = ()) -> list[str]:
    """Put the finished runs of a profile into ``data/<profile>/`` (`singlib.runs.records`); return all cells there now.

    The weights of the cells named in `models` go along (`publish`). FileNotFoundError or ValueError if the profile's
    notes are missing, or a model is none of its finished ones.
    """
    notes = nsynth.index(profile.data)  # without them no run is known to be fresh
    runs = (Run(cell, profile) for cell in cells(profile))
    finished = {run.cell.name: run for run in runs if run.state() == "done"}
    for name in models:
        check_choice("cell", name, finished)
    folder, played = carried_folder(profile), notes_played(profile)
    for marker in folder.glob("cells/*/done.json"):
        read_json(marker)  # raises at a damaged one before anything is taken out
    kept = {cell.name for cell in carried_cells(profile)}
    names = [cell.name for cell in cells(profile) if cell.name in kept | finished.keys()]
    for name in FRAMES:
        parts = dict(list(read_carried(profile, name).groupby("cell"))) if kept else {}
        parts |= {cell: run.frame(name).assign(cell=cell) for cell, run in finished.items()}
        lost = [cell for cell in names if cell not in parts]
        if lost:
            raise ValueError(f"{folder / name}.parquet is damaged: it has no rows of {', '.join(lost)}")
        with replacing(folder / f"{name}.parquet") as beside:
            pd.concat([parts[cell] for cell in names]).to_parquet(beside, index=False, compression="zstd")
    for place in (folder / "cells").glob("*"):
        if place.name in finished or place.name not in kept:
            shutil.rmtree(place)
    for run in finished.values():
        place, labels = folder / "cells" / run.cell.name, played.get(run.cell.name, [])
        (place / "generated" if labels else place).mkdir(parents=True)
        for label in labels:
            shutil.copyfile(run.generated_file(label), place / "generated" / f"{label}.flac")
        shutil.copyfile(run.folder / "cell.json", place / "cell.json")
        marker = read_json(run.folder / "done.json")
        marker.pop("files", None)  # of the run's folder, not of what is carried
        write_json(place / "done.json", marker)  # last: a kill leaves nothing that looks whole
    with replacing(folder / f"{profile.data}.csv") as beside:
        pd.DataFrame(notes.keys()).to_csv(beside, index=False)
    for label in sorted({figure.label(profile) for figure in FIGURES.values() if isinstance(figure, Note)}):
        samples, rate = soundfile.read(notes[label], dtype="int16")
        with replacing(folder / "targets" / f"{label}.flac") as beside:
            soundfile.write(beside, samples, rate)
    for name in models:
        publish(finished[name])
    return names
