"""The window of the listening test, for a notebook: a reference, a sound, one keystroke a grade."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as widgets

from . import players
from .quality import GRADES
from .ratings import Session, Stimulus
from .room import Room

# What the six grades mean, in the words of section 3.2.
MEANING = {
    "-": "static noise, or nothing",
    "-/o": "noise that moves a little",
    "o": "noise that rises and decays like the note, or a wrong note",
    "o/+": "nearly the note: a lot of noise, an octave off, or another onset and decay",
    "+": "the right pitch, with onset and decay",
    "++": "the same, clean and like the instrument",
}
UNDO = "0"


class ListeningTest(Room):
    """Play what a session has left, and keep a grade for each.

    The key of a grade is its number, 1 to 6, typed into the field; 0 takes the last one back. The
    next sound plays at once. Close it at any time: the same cell goes on with what is left.

    Parameters
    ----------
    session : Session
        The listener's test.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now: Stimulus | None = None
        self.where, self.players, self.saved = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.field = widgets.Text(
            placeholder="click here, then type 1 to 6; 0 takes the last back", description="grade"
        )
        self.field.observe(self._typed, "value")
        self.buttons = [widgets.Button(description=f"{key}:  {grade}") for key, grade in enumerate(GRADES, 1)]
        for button, grade in zip(self.buttons, GRADES, strict=True):
            button.on_click(lambda _button, grade=grade: self._rate(grade))
        self.undo = widgets.Button(description=f"{UNDO}:  take back", icon="undo")
        self.undo.on_click(lambda _button: self._take_back())
        meanings = [
            widgets.HBox([button, widgets.Label(MEANING[grade])])
            for button, grade in zip(self.buttons, GRADES, strict=True)
        ]
        super().__init__([self.where, self.players, self.field, *meanings, self.undo, self.saved])
        missing = session.missing()
        if missing:
            self.where.value = missing
            self.children = [self.where]
        else:
            self._next()

    def _typed(self, change: dict[str, Any]) -> None:
        key = change["new"].strip()
        if not key:
            return
        self.field.value = ""
        if key == UNDO:
            self._take_back()
        elif key in map(str, range(1, len(GRADES) + 1)):
            self._rate(GRADES[int(key) - 1])
        else:
            self.saved.value = f"{key!r} is no grade: type 1 to {len(GRADES)}"

    def _rate(self, grade: str) -> None:
        if self.now is not None:
            self.session.rate(self.now, grade, time.monotonic() - self._since)
            self._next(f"kept: {grade}")

    def _take_back(self) -> None:
        self.session.take_back()
        self._next("the last grade is taken back; here is its sound again")

    def _next(self, said: str = "") -> None:
        left = self.session.left()
        total = len(self.session.stimuli())
        self.saved.value = said
        self.now = left[0] if left else None
        self._since = time.monotonic()
        if self.now is None:
            self.where.value = f"<b>Done: {total} sounds. Thank you!</b>"
            self.players.value = ""
            return
        label = self.now.label
        self.where.value = (
            f"<b>Sound {total - len(left) + 1} of {total}</b>: {label.role}, MIDI pitch {label.pitch}, "
            f"velocity {label.velocity}"
        )
        sounds = {"the note itself": self.session.target(self.now), "the sound to grade": self.session.sound(self.now)}
        self.players.value = players.table(sounds, aloud="the sound to grade").data
