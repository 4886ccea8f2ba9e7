"""A page to play the models of a profile without Python: one HTML file with a keyboard and their notes inside.

`play.html.j2` is its template; keys and voices are ``keyboard.js`` of `singlib.listening`. Of each set of instruments
the best model has every note that it was trained on, the others one a pitch, and fewer where the file would be too
large: between them a key sounds by the nearest note, faster or slower, as in any sampler.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..files import write_text
from ..grading.grades import heard_in_tune, model_grade
from ..grid import ACTIVATIONS, INSTRUMENT_SETS, LOSSES, PAPER_LOSSES, PROFILES, Cell, Profile, cells
from ..nsynth import SAMPLE_RATE, VELOCITIES, Label
from .figures import STAMP, output_folder

if TYPE_CHECKING:
    from ..network.generation import Model

# A model of a page: what it is, and its notes.
PART = re.compile(r'<script [^>]*class="about">(.*?)</script>\s*<script [^>]*class="notes">(.*?)</script>')
LIMIT = 25_000_000  # bytes that the page may have
COMPRESSION = 0.94  # libsndfile's, 0 to 1: Opus at about 20 kbit/s, a note in 10 KB
NOTE = 14_000  # bytes of a note in the page, as text, at the most
# How a page is made smaller: semitones from note to note of the best model of a set and of its others. 0: every note.
STEPS = ((0, 1), (0, 3), (0, 6), (1, 6), (3, 6), (6, 12))


def models(profile: Profile) -> dict[Cell, str]:
    """Return the name of a model for each kind of cell, of several seeds the first, by set, loss and activation.

    These are the models that come with the project or, of a profile that has none, the finished runs of this machine.
    """
    from ..network import generation  # loads torch, which figures and tables do without

    every = generation.models()
    for place in (profile.name, f"runs/{profile.name}"):
        found: dict[Cell, str] = {}
        for cell in cells(profile):
            if f"{place}/{cell.name}" in every:
                found.setdefault(replace(cell, seed=0), f"{place}/{cell.name}")
        if found:
            return dict(sorted(found.items(), key=lambda item: _place(item[0])))
    return {}


def _place(cell: Cell) -> tuple[int, int, str, int, float]:
    kinds = list(INSTRUMENT_SETS).index(cell.instruments), LOSSES.index(cell.loss), cell.gradient
    return *kinds, ACTIVATIONS.index(cell.activation), cell.elu_alpha


def loss_words(cell: Cell) -> str:
    """Return a cell's loss, and for those that the authors published, and we corrected, which it is."""
    if cell.loss == "STFT" or cell.loss not in PAPER_LOSSES:
        return cell.loss
    return f"{cell.loss}, {'as published' if cell.gradient == 'cut' else 'corrected'}"


def activation_words(cell: Cell) -> str:
    """Return a cell's activation, with its a where that is not 1."""
    return cell.activation if cell.elu_alpha == 1 else f"{cell.activation}, a = {cell.elu_alpha:g}"


def thinned(notes: Iterable[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    """Return notes (MIDI pitch, velocity) in order: all, or, if `step` is not 0, one in so many semitones at least.

    That one has the velocity nearest to 100.
    """
    notes = sorted(notes)
    if not step:
        return notes
    kept: list[tuple[int, int]] = []
    for pitch in dict.fromkeys(pitch for pitch, _ in notes):
        if not kept or pitch >= kept[-1][0] + step:
            kept.append((pitch, min((v for p, v in notes if p == pitch), key=lambda velocity: abs(velocity - 100))))
    return kept


def best_of_sets(names: dict[Cell, str]) -> set[Cell]:
    """Return, of `models`, that of each set of instruments whose notes have the highest mean grade, else the first."""
    from ..network import generation
    from ..runs.model_cards import graded_notes

    best: dict[str, tuple[float, Cell]] = {}
    for cell, name in names.items():
        notes = graded_notes(generation.find(name))
        score = model_grade(list(notes.grade)).score if len(notes) else 0.0
        if cell.instruments not in best or score > best[cell.instruments][0]:
            best[cell.instruments] = score, cell
    return {cell for _, cell in best.values()}


def chosen(known: dict[Cell, dict[str, Iterable[tuple[int, int]]]], best: set[Cell]) -> dict[Cell, list[Label]]:
    """Return the notes of each model that a page has room for; `known` are all that it was trained on, by role."""
    for step in STEPS:
        notes = {
            cell: [Label(role, *note) for role in roles for note in thinned(roles[role], step[cell not in best])]
            for cell, roles in known.items()
        }
        if NOTE * sum(map(len, notes.values())) <= LIMIT:
            break
    return notes


def opus(waveform: np.ndarray) -> bytes:
    """Return a sound ``(samples,)``, 16 kHz, as Ogg Opus, scaled down if it exceeds full scale.

    The same sound gives the same bytes: libsndfile's random serial number is replaced.
    """
    content = io.BytesIO()
    sound = waveform / max(1.0, np.abs(waveform).max())
    soundfile.write(content, sound, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=COMPRESSION)
    return _numbered(content.getvalue())


def _checksums() -> list[int]:
    table = []
    for register in range(256):
        register <<= 24
        for _ in range(8):
            register = register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)
        table.append(register & 0xFFFFFFFF)
    return table


_CHECKSUMS = _checksums()


def _numbered(ogg: bytes) -> bytes:
    """Return an Ogg stream with the serial number 1 (RFC 3533, section 6: header and checksum of a page)."""
    pages, start = [], 0
    while start < len(ogg):
        segments = ogg[start + 26]
        size = 27 + segments + sum(ogg[start + 27 : start + 27 + segments])
        page = bytearray(ogg[start : start + size])
        page[14:18], page[22:26] = (1).to_bytes(4, "little"), bytes(4)
        checksum = 0
        for byte in page:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ _CHECKSUMS[checksum >> 24 ^ byte]
        page[22:26] = checksum.to_bytes(4, "little")
        pages.append(page)
        start += size
    return b"".join(pages)


def graded(weights: Path) -> str:
    """Return in words how a model's notes are graded, and how many have their pitch; empty if that is not on record."""
    from ..runs.model_cards import graded_notes

    notes = graded_notes(weights)
    if notes.empty:
        return ""
    return f"Grade {model_grade(list(notes.grade))} (from - to ++), {heard_in_tune(notes).mean():.0%} in tune."


def missing(profile: Profile, at_hand: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the kinds of the profile's models that are not at hand, in words, by set of instruments."""
    at_hand, lacking = set(at_hand), {}
    for cell in dict.fromkeys(replace(cell, seed=0) for cell in cells(profile)):
        kinds = lacking.setdefault(cell.instruments, [])
        if cell not in at_hand:
            kinds.append(f"{activation_words(cell)} on {loss_words(cell)}")
    sets = {cell.instruments for cell in at_hand}
    return {name: kinds if name in sets else ["every model"] for name, kinds in lacking.items() if kinds}


def encode(model: Model, labels: list[Label]) -> str:
    """Return notes as a page has them, JSON: role -> MIDI pitch -> velocity -> Opus in base64."""
    notes: dict[str, dict[int, dict[int, str]]] = {role: {} for role in model.roles}
    with ThreadPoolExecutor() as pool:  # a tenth of a second each, most of what a new page takes
        sounds = list(pool.map(opus, model.generate(labels)))
    for label, sound in zip(labels, sounds, strict=True):
        notes[label.role].setdefault(label.pitch, {})[label.velocity] = base64.b64encode(sound).decode()
    return json.dumps(notes, separators=(",", ":"))


def kept(file: Path) -> dict[str, str]:
    """Return the notes that a page has already, as `encode` does, by what they were `made_of`."""
    text = file.read_text("utf-8") if file.is_file() else ""
    return {json.loads(about).get("made_of"): notes for about, notes in PART.findall(text)}


def made_of(weights: Path, labels: list[Label]) -> str:
    """Return a digest of what a model's notes in a page follow from: its weights, which notes, and their encoding."""
    return hashlib.sha256(weights.read_bytes() + f"{labels} {COMPRESSION}".encode()).hexdigest()[:16]


def save(profile: Profile) -> Path:
    """Write the models of a profile to ``figures/<profile>/play.html`` and return its path.

    Notes that are in the page already, made of the same weights, stay as they are. ValueError if no model is at hand,
    or if the page would have more than `LIMIT` bytes; as `generation.load_model`.
    """
    from jinja2 import Environment  # only here, as torch: every command imports this module

    from ..network import generation

    names = models(profile)
    if not names:
        others = ", ".join(name for name, other in PROFILES.items() if models(other))
        raise ValueError(f"no model of profile {profile.name} is at hand to play; there are some of {others or 'none'}")
    file = output_folder(profile) / "play.html"
    loaded = {cell: generation.load_model(name) for cell, name in names.items()}
    before, parts, best = kept(file), [], best_of_sets(names)
    for cell, labels in chosen({cell: model.notes for cell, model in loaded.items()}, best).items():
        model, weights = loaded[cell], generation.find(names[cell])
        source = made_of(weights, labels)
        about = {
            "name": names[cell],
            "set": cell.instruments,
            "activation": activation_words(cell),
            "loss": loss_words(cell),
            "ranges": {role: [model.pitches(role)[0], model.pitches(role)[-1]] for role in cell.roles},
            "graded": graded(weights),
            "best": cell in best,
            "made_of": source,
        }
        parts.append({"about": about, "notes": before.get(source) or encode(model, labels)})
    shared = {name: _shared(name) for name in ("keyboard.js", "keyboard.css")}
    template = Environment(autoescape=True).from_string(Path(__file__).with_name("play.html.j2").read_text("utf-8"))
    text = template.render(
        models=parts,
        profile=profile,
        stamp="" if profile.evidence else f"A {STAMP}.",
        velocities=VELOCITIES,
        missing=missing(profile, names),
        mrstft=any(cell.loss == "MRSTFT" for cell in names),
        cut=any(cell.gradient == "cut" for cell in names),
        keyboard=shared["keyboard.js"],
        style=shared["keyboard.css"],
    )
    if len(text.encode()) > LIMIT:
        raise ValueError(f"{file} would have {len(text.encode()) / 1e6:.0f} MB, more than {LIMIT / 1e6:.0f}")
    write_text(file, text)
    return file


def _shared(name: str) -> str:
    return resources.files("singlib.listening").joinpath(name).read_text("utf-8")
