"""A blind listening test: its sounds in their order, its window in a notebook, and its ratings.

After MUSHRA (ITU-R BS.1534-3): in each trial one note as several models play it, among them, unnamed, the note itself
(hidden reference) and static noise of its spectrum (low anchor). Listeners give the six grades of Table 3.
``data/ratings/<profile>/<listener>.csv`` has a row for each rating, and is replaced as a whole: a crash loses none.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
import pandas as pd
import soundfile

from ..files import locked, project_folder, read_json, replacing
from ..grading.controls import same_power, stationary_noise
from ..grading.grades import GRADES, SCORES
from ..grid import check_choice
from ..nsynth import Label, read_waveform, selection
from ..runs.records import Records, describe, target_file
from . import players
from .players import Room

REFERENCE, ANCHOR = "hidden reference", "low anchor"
COLUMNS = ["at", "listener", "cell", "signature", "role", "pitch", "velocity", "grade", "seconds"]
RELIABLE = 0.15  # share of hidden references that a listener may grade below "+" (BS.1534-3, 4.1.2)


class Stimulus(NamedTuple):
    """One sound of the test: the note, and the model (or reference or anchor) that plays it."""

    label: Label
    cell: str
    signature: str  # of the records; "" for reference and anchor


@dataclass(frozen=True)
class Session:
    """The test of one listener.

    Parameters
    ----------
    records : Records
        The finished models that are heard; of models trained several times the first.
    listener : str
        A name or number that can name a file; decides over the order.
    notes : int
        Notes of each instrument that each model plays.

    Raises
    ------
    ValueError
        If the name cannot name a file, or the ratings on disk are not a test's.
    """

    records: Records
    listener: str
    notes: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.listener):
            raise ValueError(f"listener {self.listener!r} cannot name a file: use letters, digits, - and _")
        self.ratings()

    def missing(self) -> str:
        """Say what is missing for a test; empty if nothing is."""
        profile = self.records.profile
        if self.stimuli():
            return ""
        split = profile.data.removeprefix("nsynth-")
        return self.records.nothing() or (
            f"The test also plays the notes themselves, and data/{profile.data} is not on this machine: fetch it "
            f"with `make data SPLIT={split}`, or choose another profile."
        )

    @property
    def file(self) -> Path:
        """Where the ratings are kept."""
        return folder(self.records.profile.name) / f"{self.listener}.csv"

    def stimuli(self) -> list[Stimulus]:
        """List every sound, trial by trial, in this listener's order; models that finish later do not change it."""
        found = set()
        done = set(self.records.history.get("cell", []))
        for cell in self.records.grid:
            if cell.seed or cell.name not in done:
                continue
            for label in _labels(self.records.profile.data, cell.roles, self.notes):
                sounds = self.records.generated_file(cell.name, label), target_file(self.records.profile, label)
                if all(file.is_file() for file in sounds):
                    found.add(Stimulus(label, cell.name, _signature(self.records, cell.name)))
        for label in {stimulus.label for stimulus in found}:
            found |= {Stimulus(label, REFERENCE, ""), Stimulus(label, ANCHOR, "")}
        return sorted(found, key=lambda stimulus: (self._shuffled(str(stimulus.label)), self._shuffled(stimulus)))

    def _shuffled(self, thing: object) -> str:
        return hashlib.sha256(f"{self.listener} {thing}".encode()).hexdigest()

    def ratings(self) -> pd.DataFrame:
        """Return this listener's ratings so far, with the columns `COLUMNS`."""
        return _read(self.file)

    def left(self) -> list[Stimulus]:
        """List the sounds not rated yet, or whose model was trained again since."""
        rated = {tuple(row) for row in self.ratings()[["role", "pitch", "velocity", "cell", "signature"]].to_numpy()}
        return [stimulus for stimulus in self.stimuli() if (*stimulus.label, *stimulus[1:]) not in rated]

    def target(self, stimulus: Stimulus) -> np.ndarray:
        """Return the note itself, ``(64000,)``."""
        return read_waveform(target_file(self.records.profile, stimulus.label))

    def sound(self, stimulus: Stimulus) -> np.ndarray:
        """Return the sound at the power of the note: loudness must not give a model away."""
        target = self.target(stimulus)
        if stimulus.cell == REFERENCE:
            return target
        if stimulus.cell == ANCHOR:
            return stationary_noise(target)
        file = self.records.generated_file(stimulus.cell, stimulus.label)
        return same_power(soundfile.read(file, dtype="float32")[0], target)

    def rate(self, stimulus: Stimulus, grade: str, seconds: float) -> None:
        """Keep a rating; ValueError if the grade is none of Table 3's."""
        check_choice("grade", grade, GRADES)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (now, self.listener, stimulus.cell, stimulus.signature, *stimulus.label, grade, round(seconds, 1))
        with locked(self.file.with_suffix(".lock"), f"{self.file}: another window writes to it, waiting"):
            ratings = pd.concat([self.ratings(), pd.DataFrame([row], columns=COLUMNS)], ignore_index=True)
            with replacing(self.file) as beside:
                ratings.to_csv(beside, index=False)

    def take_back(self) -> None:
        """Forget the last rating, if there is one."""
        with locked(self.file.with_suffix(".lock"), f"{self.file}: another window writes to it, waiting"):
            ratings = self.ratings()
            if len(ratings):
                with replacing(self.file) as beside:
                    ratings.iloc[:-1].to_csv(beside, index=False)


def folder(profile: str) -> Path:
    """Return the folder of a profile's ratings: in data/, since no program can make them again."""
    return project_folder() / "data" / "ratings" / profile


def _labels(data: str, roles: tuple[str, ...], notes: int) -> list[Label]:
    """Choose generated notes of each instrument: that of Figures 16-22 first, then evenly over pitch."""
    chosen = []
    for role in roles:
        labels = selection.notes_to_generate(data, role)
        shown = selection.FIGURE_NOTES.get(role)
        first = selection.nearest(data, role, *shown) if shown else labels[len(labels) // 2]
        others = [label for label in labels if label != first]
        step = len(others) / max(notes - 1, 1)
        chosen += [first, *(others[int((place + 0.5) * step)] for place in range(min(notes - 1, len(others))))]
    return chosen


def _read(file: Path) -> pd.DataFrame:
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS)
    said = pd.read_csv(file, keep_default_na=False, dtype={"listener": str, "signature": str, "grade": str})
    if list(said.columns) != COLUMNS or not said.grade.isin(GRADES).all():
        raise ValueError(f"{file} holds no ratings: its columns are {', '.join(COLUMNS)}, grades {', '.join(GRADES)}")
    return said


def load(records: Records) -> pd.DataFrame:
    """Read all listeners' ratings of a profile's models as they are now.

    Returns
    -------
    DataFrame
        `COLUMNS`, ``score`` (0 to 5), ``reliable`` (whether the listener grades at most 15 % of the hidden references
        below "+", as BS.1534-3 asks) and, for models, the columns of `singlib.runs.records.describe`.
    """
    parts = [_read(file) for file in sorted(folder(records.profile.name).glob("*.csv"))]
    said = pd.concat(parts or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    said["score"] = said.grade.map(SCORES).astype(float)
    missed = said[said.cell == REFERENCE].groupby("listener").score.agg(lambda score: (score < SCORES["+"]).mean())
    said["reliable"] = said.listener.map(missed).fillna(1.0) <= RELIABLE
    about = [describe(cell) | {"now": _signature(records, cell.name)} for cell in records.grid]
    said = said.merge(pd.DataFrame(about), on="cell", how="left")
    return said[said.cell.isin([REFERENCE, ANCHOR]) | (said.signature == said.now)].drop(columns="now")


def _signature(records: Records, cell: str) -> str | None:
    try:
        return read_json(records.folder(cell) / "done.json").get("signature")
    except (FileNotFoundError, ValueError):
        return None


def agreement(records: Records) -> pd.DataFrame:
    """Compare listeners with one another and with the objective grade, note by note.

    Returns
    -------
    DataFrame
        A row for each listener and one for all: ratings, the mean grade of hidden reference and low anchor,
        whether the listener is reliable, Kendall's tau of the ratings with the objective grade of the same
        notes; for all of them Krippendorff's alpha (ordinal; 1 agree, 0 chance), with two listeners or more.
    """
    import krippendorff

    said = load(records)
    notes = ["cell", "role", "pitch", "velocity"]
    graded = records.quality[[*notes, "grade"]] if len(records.quality) else pd.DataFrame(columns=[*notes, "grade"])
    said = said.merge(graded.assign(objective=graded.grade.map(SCORES))[[*notes, "objective"]], on=notes, how="left")
    rows = {name: _row(rows) for name, rows in said.groupby("listener")}
    table = pd.DataFrame.from_dict(rows | {"all": _row(said)}, orient="index")
    matrix = said.pivot_table(index="listener", columns=notes, values="score")
    table["Krippendorff's alpha"] = np.nan
    if len(matrix) > 1 and said.score.nunique() > 1:
        table.loc["all", "Krippendorff's alpha"] = krippendorff.alpha(
            matrix.to_numpy(), level_of_measurement="ordinal", value_domain=range(len(GRADES))
        )
    return table


def _row(said: pd.DataFrame) -> dict:
    from scipy.stats import kendalltau  # a second to import

    known = said.dropna(subset="objective")
    tau = kendalltau(known.score, known.objective).statistic if len(known) > 1 else np.nan
    return {
        "ratings": len(said),
        REFERENCE: said[said.cell == REFERENCE].score.mean(),
        ANCHOR: said[said.cell == ANCHOR].score.mean(),
        "reliable": bool(said.reliable.all()) if len(said) else False,
        "Kendall's tau with the objective grade": tau,
    }


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
    """Play what a session has left, and keep a grade for each sound.

    The key of a grade is its number, 1 to 6, typed into the field; 0 takes the last one back. The next sound plays at
    once. Stop at any time: the same cell resumes with what is left.
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
