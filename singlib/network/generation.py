"""Trained models: those at hand, and the notes that they play.

>>> model = load_model("brass1-3-ReLU-MRSTFT-flow-0")
>>> waveforms = model.generate([Label("brass2", 60, 100)])
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch

from ..files import project_folder, replacing
from ..grid import PROFILES, check_choice
from ..nsynth import PITCHES, SAMPLES, VELOCITIES, Label, selection
from ..nsynth.audio import encode
from ..nsynth.note_names import midi_pitch
from . import weights
from .devices import one_thread, resolve_device
from .sing import SING, trim

BATCH = 16  # notes generated at once
HUB_WEIGHTS = "model.safetensors"  # of a folder that `singlib publish` wrote
FORMATS = ("wav", "flac")  # of notes as files, 16 bit

_NAME = re.compile(r"(.+)-([0-9]{1,3})-([0-9]{1,3})")  # a note in a list


@dataclass(frozen=True)
class Model:
    """A trained generator and its description, `about`.

    That has ``shape`` (sizes and activation, to build the network), ``roles`` (instruments in the order of their
    embedding), ``pitches`` (lowest and highest MIDI pitch of each role) and, but for older files, ``notes`` (MIDI pitch
    and velocity of each note of each role).
    """

    sing: SING
    about: dict

    @cached_property
    def notes(self) -> dict[str, frozenset[tuple[int, int]]]:
        """MIDI pitch and velocity of the notes of each role that the model was trained on.

        Where its file does not say, those of its profile's data, or, where these are not at hand, of its range.
        """
        if "notes" in self.about:
            return {role: frozenset(map(tuple, notes)) for role, notes in self.about["notes"].items()}
        notes = {}
        for role in self.roles:
            lowest, highest = self.about["pitches"][role]
            try:
                labels = selection.labels(PROFILES[self.about["profile"]].data, (role,))
                notes[role] = frozenset(label[1:] for label in labels)
            except (FileNotFoundError, ValueError, KeyError):  # no such notes, or damaged: a model plays without
                notes[role] = frozenset(product(range(lowest, highest + 1), VELOCITIES))
        return notes

    @property
    def roles(self) -> list[str]:
        """Its instruments, in the order of their embedding."""
        return self.about["roles"]

    def pitches(self, role: str) -> list[int]:
        """Return the MIDI pitches of a role that were trained, at any velocity, from low to high."""
        return sorted({pitch for pitch, _ in self.notes[role]})

    def trained(self, label: Label) -> str:
        """Return "note" if this note was trained, "pitch" if only its pitch at other velocities was, else "never".

        ValueError if the model does not play its instrument.
        """
        check_choice("instrument", label.role, self.roles)
        if label[1:] in self.notes[label.role]:
            return "note"
        return "pitch" if label.pitch in self.pitches(label.role) else "never"

    def nearest_trained(self, label: Label) -> Label:
        """Return the trained note of the same pitch whose velocity is nearest; the note itself if there is none."""
        trained = [velocity for pitch, velocity in self.notes[label.role] if pitch == label.pitch]
        return label._replace(velocity=min(trained, key=lambda one: abs(one - label.velocity), default=label.velocity))

    def check(self, label: Label, outside: bool = False) -> None:
        """Raise a ValueError if `generate` would for a note."""
        check_choice("instrument", label.role, self.roles)
        check_choice("velocity", label.velocity, VELOCITIES)
        if not 0 <= label.pitch < PITCHES:
            raise ValueError(f"pitch {label.pitch} is no MIDI pitch: 0 to {PITCHES - 1}")
        if outside or self.trained(label) != "never":
            return
        pitches = self.pitches(label.role)
        below, above = [p for p in pitches if p < label.pitch], [p for p in pitches if p > label.pitch]
        if below and above:
            fault = f"was never trained: the nearest that were are {below[-1]} and {above[0]}"
        else:
            fault = f"is outside the trained {pitches[0]} to {pitches[-1]}"
        raise ValueError(f"pitch {label.pitch} of {label.role} {fault}; to hear it anyway: outside (--outside)")

    @torch.no_grad()
    def generate(self, labels: Sequence[Label], outside: bool = False) -> np.ndarray:
        """Generate notes: ``(notes, 64000)``, float32, at 16 kHz; samples beyond [-1, 1] are possible.

        ValueError if the model does not know an instrument or velocity, or a pitch was never trained; with `outside`,
        any MIDI pitch is allowed.
        """
        for label in labels:
            self.check(label, outside)
        if not labels:
            return np.zeros((0, SAMPLES), np.float32)
        numbers = [(self.roles.index(label.role), label.pitch, VELOCITIES.index(label.velocity)) for label in labels]
        device = next(self.sing.parameters()).device
        parts = torch.tensor(numbers, device=device).split(BATCH)
        with one_thread():
            return torch.cat([trim(self.sing(*part.T)) for part in parts]).cpu().numpy()


def models() -> dict[str, Path]:
    """Return the weights file of every model at hand: ``<profile>/<cell>`` come with the project, then ``runs/...``.

    Among those that come with the project, the models of the paper's own regime, which sound worst, are last.
    """
    carried = (project_folder() / "data").glob("*/models/*.safetensors")
    carried = sorted(carried, key=lambda file: (file.parents[1].name == "recorded", file))
    runs = sorted(marker.parent for marker in (project_folder() / "runs").glob("*/*/done.json"))
    named = {f"{file.parents[1].name}/{file.stem}": file for file in carried}
    return named | {f"runs/{run.parent.name}/{run.name}": run / "sing.safetensors" for run in runs}


def find(name: Path | str) -> Path:
    """Return the weights of a model; ValueError says what there is.

    `name` is one of `models`, the cell of one that comes with the project (the first, if there are several), or a path
    to a weights file, a run's folder or one that `singlib publish` wrote.
    """
    every = models()
    known = {Path(name).name: every[name] for name in reversed(every) if not name.startswith("runs/")} | every
    short, path = str(name).removeprefix("./").rstrip("/"), Path(name)
    if short in known:
        return known[short]
    if path.exists():
        inside = [path / name for name in ("sing.safetensors", HUB_WEIGHTS)]
        if path.is_dir() and not any(file.is_file() for file in inside):
            raise ValueError(f"{path} holds no model: neither {' nor '.join(file.name for file in inside)} is in it")
        return next((file for file in inside if file.is_file()), path).resolve()  # what lies beside it has a name then
    lower = {one.lower(): one for one in reversed(known)}
    like = [lower[one] for one in difflib.get_close_matches(short.lower(), lower, 1)] or list(known)[:1]
    hint = f"of {len(every)} at hand one is {like[0]!r}" if like else "train some with `singlib run --profile quick`"
    if not project_folder().is_dir():
        hint = f"SINGLIB_ROOT is {project_folder()}, where there is no folder"
    raise ValueError(f"no model {str(name)!r}: {hint}")


def same_cell(name: str) -> list[str]:
    """Return the full names of the project's models that a cell's name may mean, of which `find` takes the first."""
    return [full for full in models() if full.rpartition("/")[2] == name and not full.startswith("runs/")]


def load_model(name: Path | str, device: str = "cpu") -> Model:
    """Load a model by the name that `find` takes, to play on a device.

    Errors are those of `find`, `weights.read` and `singlib.network.devices.resolve_device`.
    """
    where = resolve_device(device)
    network, about = weights.read(find(name))
    return Model(network.to(where), about)


def write_notes(folder: Path, labels: Sequence[Label], waveforms: np.ndarray, suffix: str = "wav") -> list[Path]:
    """Write notes ``(notes, 64000)`` as 16-bit "wav" or "flac" files, named as NSynth's: ``keys-060-100.wav``.

    The folder is made if need be; a note beyond full scale is scaled down to it. Returns the files. ValueError if a
    note is given twice or its waveform is not finite, before any is written; OSError if a file cannot be written, as on
    a full disk, and no half file is left.
    """
    check_choice("format", suffix, FORMATS)
    files = [folder / f"{label}.{suffix}" for label in labels]
    for place, (label, waveform) in enumerate(zip(labels, waveforms, strict=True)):
        if label in labels[:place]:
            raise ValueError(f"{label} is given twice, and would be one file")
        if not np.isfinite(waveform).all():
            raise ValueError(f"{label} has samples that are not finite: nothing is written")
    for file, waveform in zip(files, waveforms, strict=True):
        try:
            with replacing(file) as beside:
                beside.write_bytes(encode(waveform, suffix))  # libsndfile does not say why a file cannot be written
        except OSError as error:
            raise OSError(error.errno, f"{file} cannot be written ({error.strerror})") from error
    return files


def labels_of(role: str, pitches: str, velocities: str) -> list[Label]:
    """Return all notes of some pitches (see `midi_pitch`) and velocities, each a list such as ``"60,F#4,g'"``.

    ValueError if one of the two texts is not such a list.
    """
    try:
        numbers = dict.fromkeys(midi_pitch(part) for part in pitches.split(","))
    except ValueError as error:
        raise ValueError(f"{error}; commas stand between several") from error
    try:
        levels = dict.fromkeys(int(part) for part in velocities.split(","))
    except ValueError as error:
        raise ValueError(f"velocity {velocities!r} is not a list of numbers such as 25,100") from error
    return [Label(role, pitch, velocity) for pitch in numbers for velocity in levels]


def read_labels(file: Path, check: Callable[[Label], None] = lambda _: None) -> list[Label]:
    """Read a list of notes: a name such as ``keys-060-100`` on each line, each once; ``#`` begins a comment.

    `check` raises a ValueError at a note that is not allowed, as `Model.check`. FileNotFoundError if there is no such
    file; a ValueError gives file and line if it is not a text in UTF-8 or names no note, or a line names none, one a
    second time, or one that `check` refuses.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f"{file} is not a list of names ({error})") from error
    numbers: dict[Label, int] = {}
    for number, line in enumerate(lines, 1):
        name = line.split("#")[0].strip()
        if not name:
            continue
        try:
            match = _NAME.fullmatch(name)
            if not match:
                raise ValueError(f"{name!r} is not a note; one is 'keys-060-100'")
            label = Label(match[1], int(match[2]), int(match[3]))
            if label in numbers:
                raise ValueError(f"{label} is in line {numbers[label]} already")
            check(label)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
        numbers[label] = number
    if not numbers:
        raise ValueError(f"{file} names no note; a note is 'keys-060-100', each on a line")
    return list(numbers)
