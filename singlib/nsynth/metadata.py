"""NSynth's ``examples.json``: what it says of each note, read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_FIELDS = {"instrument_str": str, "pitch": int, "velocity": int}


class Said(NamedTuple):
    """What an entry says its note is; as a text, the name that such a note has."""

    instrument: str
    pitch: int
    velocity: int

    def __str__(self) -> str:
        return f"{self.instrument}-{self.pitch:03d}-{self.velocity:03d}"


def read(file: Path) -> dict[str, Said]:
    """Read what is said of each note, by name; ValueError names file and entry where that is not NSynth's format."""
    try:
        examples = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON of notes ({error}); fetch or copy it again") from error
    if not isinstance(examples, dict):
        raise ValueError(f"{file} is a {type(examples).__name__}, no dictionary of notes; fetch or copy it again")
    found = {}
    for name, entry in examples.items():
        try:
            found[name] = said(entry)
        except ValueError as error:
            raise ValueError(f"{file}: {shown(name)} {error}; fetch or copy it again") from error
    return found


def shown(name: str) -> str:
    """Return a name as errors print it: in one line, and not without end."""
    return name if name.isprintable() and 0 < len(name) < 80 else f"{name!r:.80}"


def said(entry: object) -> Said:
    """Return what an entry says its note is; ValueError if it lacks a field or has one of another type."""
    if not isinstance(entry, dict):
        raise ValueError(f"is {entry!r:.80}, no dictionary")
    for key, kind in _FIELDS.items():
        if key not in entry:
            raise ValueError(f"has no {key!r}")
        if type(entry[key]) is not kind:  # nor true, which Python takes for 1
            raise ValueError(f"has {key} {entry[key]!r:.80}, no {'whole number' if kind is int else 'text'}")
    return Said(*(entry[key] for key in _FIELDS))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a dictionary of JSON's pairs, of which json itself drops all but the last of a name."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {max(names, key=names.count)!r} twice")
    return content
