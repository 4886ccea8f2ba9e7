"""A blind listening test: its sounds in their order, its window in a notebook, and its ratings.

After MUSHRA (ITU-R BS.1534-3): in each trial one note as several models play it, among them, unnamed, the note itself
(hidden reference) and static noise of its spectrum (low anchor). Listeners give the six grades of Table 3.
``data/ratings/<profile>/<listener>.csv`` has a row for each rating, and is replaced as a whole: a crash loses none.
"""

import hashlib
import re
import time
from collections.abc import Callable
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
from ..grading.grades import GRADES, MEANINGS, SCORES
from ..grid import check_choice
from ..nsynth import Label, read_waveform, selection
from ..runs.carried import target_file
from ..runs.records import Records, describe
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
    """The test of one listener; ValueError if the name cannot name a file, or the ratings on disk are not a test's."""

    records: Records  # of the finished models that are heard; of models trained several times the first is
    listener: str  # a name or number; decides over the order
    notes: int = 1  # of each instrument that each model plays

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.listener):
            raise ValueError(f"listener {self.listener!r} cannot name a file: use letters, digits, - and _")
        self.ratings()

    @property
    def file(self) -> Path:
        """Where the ratings are kept."""
        return folder(self.records.profile.name) / f"{self.listener}.csv"

    def stimuli(self) -> list[Stimulus]:
        """List every sound, trial by trial, in this listener's order; models that finish later do not change it."""

        def place(thing: object) -> str:
            return hashlib.sha256(f"{self.listener} {thing}".encode()).hexdigest()

        stimuli = set()
        finished = set(self.records.history.get("cell", []))
        for cell in self.records.grid:
            if cell.seed or cell.name not in finished:
                continue
            for label in _labels(self.records.profile.data, cell.roles, self.notes):
                sounds = self.records.generated_file(cell.name, label), target_file(self.records.profile, label)
                if all(file.is_file() for file in sounds):
                    model = Stimulus(label, cell.name, _signature(self.records, cell.name))
                    stimuli |= {model, Stimulus(label, REFERENCE, ""), Stimulus(label, ANCHOR, "")}
        return sorted(stimuli, key=lambda stimulus: (place(str(stimulus.label)), place(stimulus)))

    def ratings(self) -> pd.DataFrame:
        """Return this listener's ratings so far, with the columns `COLUMNS`."""
        return _read(self.file)

    def left(self, stimuli: list[Stimulus]) -> list[Stimulus]:
        """List those of some sounds that are not rated yet, or whose model was trained again since."""
        rated = {tuple(row) for row in self.ratings()[["role", "pitch", "velocity", "cell", "signature"]].to_numpy()}
        return [stimulus for stimulus in stimuli if (*stimulus.label, *stimulus[1:]) not in rated]

    def sounds(self, trial: list[Stimulus]) -> dict[str, np.ndarray]:
        """Return the sounds ``(64000,)`` of one note by model, all at one power: loudness must not give a model away.

        Among them is the hidden reference, the note itself. The loudest peak of all is at full scale at the most.
        """
        target = read_waveform(target_file(self.records.profile, trial[0].label))
        sounds = {REFERENCE: target, ANCHOR: stationary_noise(target)}
        for label, cell, _ in trial:
            if cell not in sounds:
                file = self.records.generated_file(cell, label)
                sounds[cell] = same_power(soundfile.read(file, dtype="float32")[0], target)
        peak = max(1.0, *(np.abs(sound).max() for sound in sounds.values()))
        return {cell: sound / peak for cell, sound in sounds.items()}

    def rate(self, stimulus: Stimulus, grade: str, seconds: float) -> None:
        """Keep a rating; ValueError if the grade is none of Table 3's."""
        check_choice("grade", grade, GRADES)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (now, self.listener, stimulus.cell, stimulus.signature, *stimulus.label, grade, round(seconds, 1))
        new = pd.DataFrame([row], columns=COLUMNS)
        self._replace(lambda ratings: pd.concat([ratings, new], ignore_index=True))

    def take_back(self) -> None:
        """Forget the last rating, if there is one."""
        self._replace(lambda ratings: ratings.iloc[:-1])

    def _replace(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        with locked(self.file.with_suffix(".lock"), f"{self.file}: another window writes to it, waiting"):
            ratings = change(self.ratings())
            with replacing(self.file) as beside:
                ratings.to_csv(beside, index=False)


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
    ratings = pd.read_csv(file, keep_default_na=False, dtype={"listener": str, "signature": str, "grade": str})
    if list(ratings.columns) != COLUMNS or not ratings.grade.isin(GRADES).all():
        raise ValueError(f"{file} holds no ratings: its columns are {', '.join(COLUMNS)}, grades {', '.join(GRADES)}")
    return ratings


def load(records: Records) -> pd.DataFrame:
    """Read all listeners' ratings of a profile's models as they are now.

    Returns `COLUMNS`, ``score`` (0 to 5), ``reliable`` (whether the listener grades at most 15 % of the hidden
    references below "+", as BS.1534-3 asks) and, for models, the columns of `singlib.runs.records.describe`.
    """
    parts = [_read(file) for file in sorted(folder(records.profile.name).glob("*.csv"))]
    ratings = pd.concat(parts or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    ratings["score"] = ratings.grade.map(SCORES).astype(float)
    poor = ratings.assign(poor=ratings.score < SCORES["+"])[ratings.cell == REFERENCE].groupby("listener").poor.mean()
    ratings["reliable"] = ratings.listener.map(poor).fillna(1.0) <= RELIABLE
    about = [describe(cell) | {"now": _signature(records, cell.name)} for cell in records.grid]
    ratings = ratings.merge(pd.DataFrame(about), on="cell", how="left")
    return ratings[ratings.cell.isin([REFERENCE, ANCHOR]) | (ratings.signature == ratings.now)].drop(columns="now")


def _signature(records: Records, cell: str) -> str | None:
    try:
        return read_json(records.folder(cell) / "done.json").get("signature")
    except (FileNotFoundError, ValueError):
        return None


def agreement(records: Records) -> pd.DataFrame:
    """Compare listeners with one another and with the objective grade, note by note.

    Returns a row for each listener and one for all: ratings, the mean grade of hidden reference and low anchor, whether
    the listener is reliable, Kendall's tau of the ratings with the objective grade of the same notes; for all of them
    Krippendorff's alpha (ordinal; 1 agree, 0 chance), with two listeners or more.
    """
    import krippendorff

    ratings = load(records)
    note = ["cell", "role", "pitch", "velocity"]
    graded = records.quality if len(records.quality) else pd.DataFrame(columns=[*note, "grade"])
    graded = graded.assign(objective=graded.grade.map(SCORES))[[*note, "objective"]]
    ratings = ratings.merge(graded, on=note, how="left")
    rows = {name: _row(own) for name, own in ratings.groupby("listener")} | {"all": _row(ratings)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    matrix = ratings.pivot_table(index="listener", columns=note, values="score")
    table["Krippendorff's alpha"] = np.nan
    if len(matrix) > 1 and ratings.score.nunique() > 1:
        table.loc["all", "Krippendorff's alpha"] = krippendorff.alpha(
            matrix.to_numpy(), level_of_measurement="ordinal", value_domain=range(len(GRADES))
        )
    return table


def _row(ratings: pd.DataFrame) -> dict:
    from scipy.stats import kendalltau  # a second to import

    known = ratings.dropna(subset="objective")
    tau = kendalltau(known.score, known.objective).statistic if len(known) > 1 else np.nan
    return {
        "ratings": len(ratings),
        REFERENCE: ratings[ratings.cell == REFERENCE].score.mean(),
        ANCHOR: ratings[ratings.cell == ANCHOR].score.mean(),
        "reliable": len(ratings) > 0 and bool(ratings.reliable.all()),
        "Kendall's tau with the objective grade": tau,
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
        self.where, self.players, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        hint = f"click here, then type 1 to {len(GRADES)}; {UNDO} takes the last back"
        self.field = widgets.Text(placeholder=hint, description="grade")
        self.field.observe(self._typed, "value")
        self.buttons = [widgets.Button(description=f"{key}:  {grade}") for key, grade in enumerate(GRADES, 1)]
        for button, grade in zip(self.buttons, GRADES, strict=True):
            button.on_click(lambda _button, grade=grade: self._rate(grade))
        undo = widgets.Button(description=f"{UNDO}:  take back", icon="undo")
        undo.on_click(lambda _button: self._take_back())
        meanings = map(widgets.Label, MEANINGS.values())
        grades = [widgets.HBox(pair) for pair in zip(self.buttons, meanings, strict=True)]
        super().__init__([self.where, self.players, self.field, *grades, undo, self.message])
        if session.stimuli():
            self._next()
            return
        data = session.records.profile.data
        self.where.value = session.records.nothing() or (
            f"The test also plays the notes themselves, and data/{data} is not on this machine: fetch it with "
            f"`make data SPLIT={data.removeprefix('nsynth-')}`, or choose another profile."
        )
        self.children = [self.where]

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
            self.message.value = f"{key!r} is no grade: type 1 to {len(GRADES)}"

    def _rate(self, grade: str) -> None:
        if self.now is not None:
            self.session.rate(self.now, grade, time.monotonic() - self._since)
            self._next(f"kept: {grade}")

    def _take_back(self) -> None:
        self.session.take_back()
        self._next("the last grade is taken back; here is its sound again")

    def _next(self, message: str = "") -> None:
        stimuli = self.session.stimuli()
        left, total = self.session.left(stimuli), len(stimuli)
        self.message.value = message
        self.now, self._since = left[0] if left else None, time.monotonic()
        if self.now is None:
            self.where.value, self.players.value = f"<b>Done: {total} sounds. Thank you!</b>", ""
            return
        (role, pitch, velocity), number = self.now.label, total - len(left) + 1
        note = f"{role}, MIDI pitch {pitch}, velocity {velocity}"
        self.where.value = f"<b>Sound {number} of {total}</b>: {note}"
        made = self.session.sounds([stimulus for stimulus in stimuli if stimulus.label == self.now.label])
        sounds = {"the note itself": made[REFERENCE], "the sound to grade": made[self.now.cell]}
        self.players.value = players.table(sounds, aloud="the sound to grade").data
