"""The notes of a data folder: which there are, and reading them.

A folder is in NSynth's format: ``examples.json`` (a dictionary of notes) and ``audio/<note>.wav`` or ``.flac``: 4 s,
16 kHz, mono, 16 bit. J. Engel et al., "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders", 2017.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ..files import project_folder
from ..grid import check_choice
from . import audio

_FIELDS = {"instrument_str": str, "pitch": int, "velocity": int}


def note_name(instrument: str, pitch: int, velocity: int) -> str:
    """Return the name of a note of an instrument or a role: ``keyboard_acoustic_007-060-100``."""
    return f"{instrument}-{pitch:03d}-{velocity:03d}"


def parse(entry: object) -> tuple[str, int, int]:
    """Return instrument, pitch and velocity of an entry of ``examples.json``; ValueError says what is wrong with it."""
    if not isinstance(entry, dict):
        raise ValueError(f"is {entry!r:.80}, not a dictionary")
    for key, kind in _FIELDS.items():
        if key not in entry:
            raise ValueError(f"has no {key!r}")
        if type(entry[key]) is not kind:  # isinstance would take true for a whole number
            wanted = "whole number" if kind is int else "text"
            raise ValueError(f"has {key} {entry[key]!r:.80}; it should be a {wanted}")
    return tuple(entry[key] for key in _FIELDS)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a dictionary of pairs; ValueError for a name given twice, of which json would keep the last."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"it has {max(names, key=names.count)!r} twice")
    return dict(pairs)


def _printable(name: str) -> str:
    """Return a name as errors print it: on one short line."""
    return name if name.isprintable() and 0 < len(name) < 80 else f"{name!r:.80}"


VELOCITIES = (25, 50, 75, 100, 127)  # MIDI velocities of NSynth
PITCHES = 128  # MIDI pitches


class Instrument(NamedTuple):
    """A row of the paper's Table 2, with the MIDI pitches of NSynth's metadata, and who stands in for it elsewhere."""

    name: str  # in NSynth's train split
    lowest: int
    highest: int
    notes: int
    generated: int
    stand_in: str  # in NSynth's valid and test splits
    mini: str  # in data/mini


TABLE2 = {
    "keys": Instrument("keyboard_acoustic_007", 21, 108, 440, 89, "keyboard_acoustic_004", "fluidr3_grand_piano"),
    "mallet": Instrument("mallet_acoustic_011", 21, 108, 440, 89, "mallet_acoustic_062", "fluidr3_vibraphone"),
    "voice": Instrument("vocal_acoustic_011", 38, 82, 225, 52, "vocal_acoustic_000", "fluidr3_choir_aahs"),
    "brass1": Instrument("brass_acoustic_001", 31, 64, 170, 41, "brass_acoustic_059", "fluidr3_trombone"),
    "brass2": Instrument("brass_acoustic_002", 24, 88, 325, 41, "brass_acoustic_006", "fluidr3_trumpet"),
    "brass3": Instrument("brass_acoustic_003", 41, 77, 185, 32, "brass_acoustic_015", "fluidr3_tuba"),
    "brass4": Instrument("brass_acoustic_004", 24, 88, 325, 41, "brass_acoustic_016", "fluidr3_french_horn"),
    "brass5": Instrument("brass_acoustic_005", 24, 88, 325, 41, "brass_acoustic_046", "fluidr3_brass_section"),
}

# Which instrument plays which role of Table 2, for each folder under data/.
ROLES = {
    "nsynth-train": {role: row.name for role, row in TABLE2.items()},
    "nsynth-valid": {role: row.stand_in for role, row in TABLE2.items()},
    "nsynth-test": {role: row.stand_in for role, row in TABLE2.items()},
    "mini": {role: row.mini for role, row in TABLE2.items()},
}
# What the notes of each folder are, for cards.
_NSYNTH = "(J. Engel et al., 2017, CC BY 4.0)"
SOURCES = {
    "nsynth-train": f"NSynth's train split {_NSYNTH}: the paper's instruments",
    "nsynth-valid": f"NSynth's valid split {_NSYNTH}: stand-ins for the paper's instruments",
    "nsynth-test": f"NSynth's test split {_NSYNTH}: stand-ins for the paper's instruments",
    "mini": "220 notes rendered from a soundfont (data/mini, MIT licence)",
}
# The MIDI pitch from which an instrument is noise in NSynth.
NOISE_FROM = {"brass_acoustic_046": 84}


class Label(NamedTuple):
    """What a note is: role of its instrument, MIDI pitch, MIDI velocity."""

    role: str
    pitch: int
    velocity: int

    def __str__(self) -> str:
        return note_name(*self)


@dataclass(frozen=True)
class Notes:
    """Notes of one or several instruments, in the order of role, pitch and velocity; labels are ``(notes,)``, int64."""

    waveforms: np.ndarray  # (notes, 64000), float32 in [-1, 1], at 16 kHz; memory-mapped (see `singlib.nsynth.audio`)
    instrument: np.ndarray  # index into `roles`
    pitch: np.ndarray  # MIDI pitch
    velocity: np.ndarray  # index into `VELOCITIES`
    roles: tuple[str, ...]  # the instruments, by role
    digest: str  # SHA-256 over the labels and files of the notes

    def __len__(self) -> int:
        return len(self.pitch)

    def take(self, rows: np.ndarray) -> "Notes":
        """Return the notes of some rows; roles and digest are still those of all."""
        arrays = ("waveforms", "instrument", "pitch", "velocity")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def labels(self) -> list[Label]:
        """Return the label of each note."""
        columns = zip(self.instrument, self.pitch, self.velocity, strict=True)
        return [Label(self.roles[i], int(p), VELOCITIES[v]) for i, p, v in columns]


def used(data: str, role: str, pitch: int) -> bool:
    """Say whether a pitch of a role is trained on: within Table 2's range for the paper's notes, and not noise."""
    if data == "nsynth-train":
        return TABLE2[role].lowest <= pitch <= TABLE2[role].highest
    return pitch < NOISE_FROM.get(ROLES[data][role], PITCHES)


def paper_notes(data: str) -> dict[str, Label] | None:
    """Return the label of each of Table 2's 2,435 notes by name, if `data` is the train split, which holds them."""
    if data != "nsynth-train":
        return None
    return {
        note_name(row.name, pitch, velocity): Label(role, pitch, velocity)
        for role, row in TABLE2.items()
        for pitch in range(row.lowest, row.highest + 1)
        for velocity in VELOCITIES
    }


def index(data: str) -> Mapping[Label, Path]:
    """Map every note of the eight roles under ``data/<data>`` to its file, in the order of role, pitch and velocity.

    FileNotFoundError if the folder, its ``examples.json`` or a note is missing. ValueError if `data` is not a key of
    `ROLES`, or ``examples.json`` is damaged, contradicts a note's name, or gives it a pitch or velocity NSynth has not.
    """
    check_choice("data", data, ROLES)
    folder = project_folder() / "data" / data
    parts = [part for part in (folder / "examples.json", folder / "audio") if part.exists()]
    return MappingProxyType(_index(folder, tuple(part.stat().st_mtime_ns for part in parts)))


@lru_cache
def _index(folder: Path, changed: tuple[int, ...]) -> dict[Label, Path]:
    """Read the index of a folder; kept until its list or its files change."""
    data, examples = folder.name, folder / "examples.json"
    role_of = {instrument: role for role, instrument in ROLES[data].items()}
    files = {}
    for name, entry in _read_examples(examples).items():
        try:
            instrument, pitch, velocity = parse(entry)
            if not role_of.keys() & {instrument, name.rsplit("-", 2)[0]}:
                continue
            if not 0 <= pitch < PITCHES or velocity not in VELOCITIES:
                known = f"pitches are 0 to 127, velocities {VELOCITIES}"
                raise ValueError(f"has pitch {pitch} and velocity {velocity}; {known}")
            if name != note_name(instrument, pitch, velocity):
                other = _printable(note_name(instrument, pitch, velocity))
                raise ValueError(f"is said to be {other}, one of the two is wrong")
        except ValueError as error:
            raise ValueError(f"{examples}: {_printable(name)} {error}; fetch or copy it again") from error
        if not used(data, role_of[instrument], pitch):
            continue
        places = [folder / "audio" / f"{name}{suffix}" for suffix in (".wav", ".flac")]
        file = next(filter(Path.is_file, places), None)
        if file is None:
            raise FileNotFoundError(f"{places[0]} (or .flac) is missing, but {examples} lists it")
        files[Label(role_of[instrument], pitch, velocity)] = file
    order = list(TABLE2)
    return dict(sorted(files.items(), key=lambda item: (order.index(item[0].role), *item[0][1:])))


def _read_examples(file: Path) -> dict[str, object]:
    """Read an ``examples.json``, or say where to get one."""
    root = project_folder()
    if not root.is_dir():
        raise FileNotFoundError(f"SINGLIB_ROOT is {root}, where there is no folder")
    if not file.is_file():
        data = file.parent.name
        fetch = f"make data SPLIT={data.removeprefix('nsynth-')}" if data != "mini" else "git checkout data/mini"
        other = f", or set SINGLIB_ROOT, now {root}, to where they are" if os.environ.get("SINGLIB_ROOT") else ""
        raise FileNotFoundError(f"{file} is missing: fetch the notes with `{fetch}`{other}")
    try:
        examples = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not a JSON of notes ({error}); fetch or copy it again") from error
    if not isinstance(examples, dict):
        raise ValueError(f"{file} is a {type(examples).__name__}, not a dictionary of notes; fetch or copy it again")
    return examples


def at_hand(data: str) -> bool:
    """Say whether the notes of a data folder are there."""
    return (project_folder() / "data" / data / "examples.json").is_file()


def select(data: str, roles: tuple[str, ...]) -> dict[Label, Path]:
    """Return the notes of some roles; ValueError names a role without notes."""
    if not roles:
        raise ValueError(f"no role to read from data/{data}; there are {', '.join(TABLE2)}")
    chosen = {label: file for label, file in index(data).items() if label.role in roles}
    for role in roles:
        check_choice("role", role, TABLE2)
        if not any(label.role == role for label in chosen):
            raise ValueError(f"data/{data} holds no note of {ROLES[data][role]}, which plays {role}")
    return chosen


def digest(data: str, roles: tuple[str, ...]) -> str:
    """Return the SHA-256 over labels and file contents of the notes of some roles."""
    chosen = select(data, roles)
    digests = audio.digests(project_folder() / "data" / data, list(index(data).values()))
    total = hashlib.sha256()
    for label, file_digest in zip(index(data), digests, strict=True):
        if label in chosen:
            total.update(f"{label}\n".encode() + bytes.fromhex(file_digest))
    return total.hexdigest()


def load_notes(data: str, roles: tuple[str, ...]) -> Notes:
    """Read all notes of some roles of a folder (a key of `ROLES`), in the order of role, pitch and velocity.

    FileNotFoundError or ValueError names what is missing or not in NSynth's format.
    """
    chosen = select(data, roles)
    waveforms, _ = audio.waveforms_and_digests(project_folder() / "data" / data, list(index(data).values()))
    rows = np.array([row for row, label in enumerate(index(data)) if label in chosen])
    if len(rows) == rows[-1] - rows[0] + 1:
        rows = slice(rows[0], rows[-1] + 1)  # a view, as for every set of Table 1
    return Notes(
        waveforms=waveforms[rows],
        instrument=np.array([roles.index(label.role) for label in chosen]),
        pitch=np.array([label.pitch for label in chosen]),
        velocity=np.array([VELOCITIES.index(label.velocity) for label in chosen]),
        roles=roles,
        digest=digest(data, roles),
    )
