"""Which notes there are, and which of them models generate and figures show."""

from collections.abc import Iterable
from itertools import groupby

import pandas as pd

from ..files import project_folder
from .notes import TABLE2, VELOCITIES, Label, at_hand, index

# What Figures 16-22 show: role -> (MIDI pitch, velocity). The keys' "f sharp 4" is taken for MIDI 66 (in German octave
# numbers it would be 102); the d' of brass 1 is MIDI 62.
FIGURE_NOTES = {"keys": (66, 100), "brass1": (62, 100)}


def labels(data: str, roles: tuple[str, ...] = tuple(TABLE2)) -> list[Label]:
    """List the notes of some roles, in the order of role, pitch and velocity.

    Without the data folder, they are read from the list that is kept beside the project's records. FileNotFoundError if
    there is none, ValueError if no role has a note.
    """
    lists = sorted((project_folder() / "data").glob(f"*/{data}.csv"))
    if at_hand(data) or not lists:
        every = list(index(data))
    else:
        every = [Label(*row) for row in pd.read_csv(lists[0])[list(Label._fields)].itertuples(index=False)]
    chosen = [label for label in every if label.role in roles]
    if not chosen:
        raise ValueError(f"data/{data} holds no note of {', '.join(roles)}")
    return chosen


def counts(data: str) -> dict[str, int]:
    """Return how many notes a data folder has of each role; FileNotFoundError as `labels`."""
    played = [label.role for label in labels(data)]
    return {role: played.count(role) for role in TABLE2}


def nearest(data: str, role: str, pitch: int, velocity: int) -> Label:
    """Return the note of a role that is nearest in pitch, then in velocity."""
    return nearest_of(labels(data, (role,)), pitch, velocity)


def nearest_of(labels: Iterable[Label], pitch: int, velocity: int) -> Label:
    """Return the one of some notes that is nearest in pitch, then in velocity."""
    return min(labels, key=lambda label: (abs(label.pitch - pitch), abs(label.velocity - velocity)))


def examples(labels: Iterable[Label]) -> list[Label]:
    """Choose a note of each role: the one of Figures 16-22, or the middle of Table 2's range at velocity 100."""
    chosen = []
    for role, own in groupby(labels, key=lambda label: label.role):
        middle = (TABLE2[role].lowest + TABLE2[role].highest) // 2
        chosen.append(nearest_of(own, *FIGURE_NOTES.get(role, (middle, 100))))
    return chosen


def notes_to_generate(data: str, role: str) -> list[Label]:
    """Choose the notes that a model generates of one instrument, in the order of pitch and velocity.

    No rule was found for Table 2's generated counts; we take the same share of the notes at hand, evenly over pitch and
    velocity, always with the note that Figures 16-22 show.
    """
    left = labels(data, (role,))
    wanted = max(1, round(len(left) * TABLE2[role].generated / TABLE2[role].notes))
    pitches = sorted({label.pitch for label in left})
    chosen: list[Label] = []
    for place in range(wanted):
        pitch = pitches[place * len(pitches) // wanted]
        velocity = VELOCITIES[2 * place % len(VELOCITIES)]  # by twos: neighbours in pitch differ in velocity
        chosen.append(nearest_of(left, pitch, velocity))
        left.remove(chosen[-1])
    if role in FIGURE_NOTES:
        shown = nearest(data, role, *FIGURE_NOTES[role])
        if shown not in chosen:
            chosen.remove(min(chosen, key=lambda label: abs(label.pitch - shown.pitch)))
            chosen.append(shown)
    return sorted(chosen)
