"""Which notes there are, and which of them models generate and figures show."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from ..files import project_folder
from .notes import TABLE2, VELOCITIES, Label, at_hand, index

# What Figures 16-22 show: role -> (MIDI pitch, velocity). The keys' "f sharp 4" is taken for MIDI 66 (in German octave
# numbers it would be 102); the d' of brass 1 is MIDI 62.
FIGURE_NOTES = {"keys": (66, 100), "brass1": (62, 100)}


def labels(data: str, roles: tuple[str, ...] = tuple(TABLE2)) -> list[Label]:
    """List the notes of some roles, in the order of role, pitch and velocity.

    Where the data folder is not there, those that records which come with the project were made from. FileNotFoundError
    if there are none of these either, ValueError if no role has a note.
    """
    listed = next(iter(sorted((project_folder() / "data").glob(f"*/{data}.csv"))), None)
    if at_hand(data) or listed is None:
        found = list(index(data))
    else:
        with listed.open(newline="", encoding="utf-8") as rows:
            found = [Label(row["role"], int(row["pitch"]), int(row["velocity"])) for row in csv.DictReader(rows)]
    chosen = [label for label in found if label.role in roles]
    if not chosen:
        raise ValueError(f"data/{data} holds no note of {', '.join(roles)}")
    return chosen


def counts(data: str) -> dict[str, int]:
    """Return how many notes a data folder has of each role; FileNotFoundError as `labels`."""
    found = [label.role for label in labels(data)]
    return {role: found.count(role) for role in TABLE2}


def nearest(data: str, role: str, pitch: int, velocity: int) -> Label:
    """Return the note of a role that is nearest in pitch, then in velocity."""
    return _nearest(labels(data, (role,)), (pitch, velocity))


def examples(labels: Iterable[Label]) -> list[Label]:
    """Choose a note of each role: the one of Figures 16-22, or the middle of Table 2's range at velocity 100."""
    labels = list(labels)
    chosen = []
    for role in dict.fromkeys(label.role for label in labels):
        middle = (TABLE2[role].lowest + TABLE2[role].highest) // 2
        chosen.append(
            _nearest([label for label in labels if label.role == role], FIGURE_NOTES.get(role, (middle, 100)))
        )
    return chosen


def _nearest(labels: list[Label], wanted: tuple[int, int]) -> Label:
    return min(labels, key=lambda label: (abs(label.pitch - wanted[0]), abs(label.velocity - wanted[1])))


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
        chosen.append(_nearest(left, (pitch, velocity)))
        left.remove(chosen[-1])
    if role in FIGURE_NOTES:
        shown = nearest(data, role, *FIGURE_NOTES[role])
        if shown not in chosen:
            chosen.remove(min(chosen, key=lambda label: abs(label.pitch - shown.pitch)))
            chosen.append(shown)
    return sorted(chosen)
