"""What of finished runs is committed under ``data/<profile>/``: their records, and the sounds that a report plays."""

from __future__ import annotations

from collections.abc import Sequence

from ..grid import PAPER_ACTIVATIONS, PAPER_LOSSES, Cell, Profile, cells, check_choice
from ..listening.spectrograms import Note, target
from ..nsynth import Label, selection
from ..runs import recorded
from ..runs.models import publish
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
    """Put the finished runs of a profile into ``data/<profile>/`` (`singlib.runs.recorded`), and the weights of some.

    Parameters
    ----------
    profile : Profile
        The profile; its notes must be there.
    models : sequence of str
        Names of the cells whose weights are carried too (`publish`).

    Returns
    -------
    list of str
        Names of all cells that are carried now.

    Raises
    ------
    FileNotFoundError, ValueError
        If the notes are missing, or a model is none of the profile's finished ones.
    """
    known = {cell.name: Run(cell, profile) for cell in cells(profile)}
    for name in models:
        check_choice("cell", name, [name for name, run in known.items() if run.state() == "done"])
    shown = {figure.label(profile) for figure in FIGURES.values() if isinstance(figure, Note)}
    targets = {label: target(profile, label) for label in sorted(shown)}
    names = recorded.carry(profile, notes_played(profile), targets)
    for name in models:
        publish(known[name])
    return names
