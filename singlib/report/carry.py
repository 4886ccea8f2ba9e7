"""What of finished runs is committed under ``data/<profile>/``: their records, and the sounds that a report plays."""

from __future__ import annotations

from collections.abc import Sequence

from ..grid import Profile, cells, check_choice
from ..listening.spectrograms import Note, target
from ..listening.spectrograms import shown as shown_note
from ..runs import recorded
from ..runs.models import publish
from ..runs.run_folder import Run
from .answer import heard
from .figures import FIGURES


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
    shown = {figure.role: shown_note(figure, profile) for figure in FIGURES.values() if isinstance(figure, Note)}
    targets = {label: target(profile, label) for label in shown.values()}
    names = recorded.carry(profile, heard(profile), targets)
    for name in models:
        publish(known[name])
    return names
