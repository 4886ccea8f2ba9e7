"""NSynth's ``examples.json``, read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_FIELDS = {"instrument_str": str, "pitch": int, "velocity": int}


class Entry(NamedTuple):
    """What ``examples.json`` says of a note; as a string, the name that such a note has."""

    instrument: str
    pitch: int
    velocity: int

    def __str__(self) -> str:
        return f"{self.instrument}-{self.pitch:03d}-{self.velocity:03d}"


def read(file: Path) -> dict[str, Entry]:
    """Read the entry of each note, by name; ValueError names file and entry if it is not in NSynth's format."""
    try:
        examples = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not a JSON of notes ({error}); fetch or copy it again") from error
    if not isinstance(examples, dict):
        raise ValueError(f"{file} is a {type(examples).__name__}, not a dictionary of notes; fetch or copy it again")
    found = {}
    for name, entry in examples.items():
        try:
            found[name] = parse(entry)
        except ValueError as error:
            raise ValueError(f"{file}: {printable(name)} {error}; fetch or copy it again") from error
    return found


def printable(name: str) -> str:
    """Return a name as errors print it: on one short line."""
    return name if name.isprintable() and 0 < len(name) < 80 else f"{name!r:.80}"


def parse(entry: object) -> Entry:
    """Return the fields of an entry; ValueError if one is missing or of another type."""
    if not isinstance(entry, dict):
        raise ValueError(f"is {entry!r:.80}, not a dictionary")
    for key, kind in _FIELDS.items():
        if key not in entry:
            raise ValueError(f"has no {key!r}")
        if type(entry[key]) is not kind:  # isinstance would take true for a whole number
            wanted = "whole number" if kind is int else "text"
            raise ValueError(f"has {key} {entry[key]!r:.80}; it should be a {wanted}")
    return Entry(*(entry[key] for key in _FIELDS))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a dictionary of pairs; ValueError for a name given twice, of which json would keep the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {max(names, key=names.count)!r} twice")
    return content
