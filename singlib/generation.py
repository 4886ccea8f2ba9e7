"""Notes out of a trained model.

>>> model = load_model("runs/quick/keys-ReLU-STFT-flow-0/sing.safetensors")
>>> waveforms = model.generate([Label("keys", 66, 100)])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors import SafetensorError, safe_open

from .files import replacing
from .grid import check_choice
from .models import SING, Decoder, SequenceGenerator, trim
from .nsynth import PITCHES, SAMPLE_RATE, SAMPLES, VELOCITIES, Label

BATCH = 16  # notes generated at once
FORMATS = ("wav", "flac")  # of notes as files, 16 bit


@dataclass(frozen=True)
class Model:
    """A trained generator and what it was trained on.

    Attributes
    ----------
    sing : SING
        The network.
    about : dict
        ``shape`` (sizes and activation that build the network again), ``roles`` (its instruments, in
        the order of their embedding) and ``pitches`` (lowest and highest MIDI pitch of each role).
    """

    sing: SING
    about: dict

    def trained_on(self, label: Label) -> bool:
        """Say whether a pitch lies in the range of its instrument that the model was trained on."""
        lowest, highest = self.about["pitches"][label.role]
        return lowest <= label.pitch <= highest

    @torch.no_grad()
    def generate(self, labels: Sequence[Label], outside: bool = False) -> np.ndarray:
        """Generate notes.

        Parameters
        ----------
        labels : sequence of Label
            Role, MIDI pitch and MIDI velocity of each note.
        outside : bool
            Whether a pitch outside the trained range is played too: the model never heard it.

        Returns
        -------
        ndarray, shape (notes, 64000), float32
            Waveforms at 16 kHz; samples beyond [-1, 1] are possible.

        Raises
        ------
        ValueError
            If a label names an instrument or velocity the model does not know, or a pitch outside the trained range
            (or, with `outside`, of MIDI).
        """
        roles = self.about["roles"]
        for label in labels:
            check_choice("instrument", label.role, roles)
            check_choice("velocity", label.velocity, VELOCITIES)
            if not 0 <= label.pitch < PITCHES:
                raise ValueError(f"pitch {label.pitch} is no MIDI pitch: 0 to {PITCHES - 1}")
            if not (outside or self.trained_on(label)):
                lowest, highest = self.about["pitches"][label.role]
                raise ValueError(f"pitch {label.pitch} of {label.role} is outside the trained {lowest} to {highest}")
        if not labels:
            return np.zeros((0, SAMPLES), np.float32)
        numbers = [(roles.index(label.role), label.pitch, VELOCITIES.index(label.velocity)) for label in labels]
        device = next(self.sing.parameters()).device
        parts = torch.tensor(numbers, device=device).split(BATCH)
        return torch.cat([trim(self.sing(*part.T)) for part in parts]).cpu().numpy()


def build(shape: dict) -> SING:
    """Build the network of the shape that a weights file names."""
    sequence = SequenceGenerator(shape["instruments"], shape["dimension"], shape["hidden"], shape["layers"])
    return SING(sequence, Decoder(shape["channels"], shape["dimension"], shape["activation"], shape["elu_alpha"]))


def load_model(path: Path | str) -> Model:
    """Read a ``sing.safetensors``; ValueError names the file if it is damaged or not ours."""
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["about"])
            names = list(file.keys())
            tensors = {name: torch.from_numpy(file.get_tensor(name)).float() for name in names}  # some keep 16 bits
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no model of singlib ({error})") from error
    sing = build(about["shape"])
    sing.load_state_dict(tensors)
    return Model(sing, about)


def write_notes(folder: Path, labels: Sequence[Label], waveforms: np.ndarray, suffix: str = "wav") -> list[Path]:
    """Write notes as 16-bit WAV or FLAC, named as NSynth's: ``keys-060-100.wav``.

    Parameters
    ----------
    folder : Path
        Where; made if it is not there.
    labels, waveforms : sequence of Label, ndarray of shape (notes, 64000)
        The notes; one louder than full scale is turned down to it.
    suffix : str
        ``"wav"`` or ``"flac"``.

    Returns
    -------
    list of Path
        The files.
    """
    check_choice("format", suffix, FORMATS)
    files = [folder / f"{label}.{suffix}" for label in labels]
    for file, waveform in zip(files, waveforms, strict=True):
        with replacing(file) as beside:
            soundfile.write(beside, waveform / max(1, np.abs(waveform).max()), SAMPLE_RATE, subtype="PCM_16")
    return files


def chord(role: str, pitches: str, velocities: str) -> list[Label]:
    """Return all notes of some pitches and velocities, each a list such as ``"60,64,67"``; ValueError if it is none."""
    numbers = []
    for name, text in (("pitch", pitches), ("velocity", velocities)):
        try:
            numbers.append([int(part) for part in text.split(",")])
        except ValueError as error:
            raise ValueError(f"{name} {text!r} is no list of numbers, as 60,64,67") from error
    return [Label(role, pitch, velocity) for pitch in numbers[0] for velocity in numbers[1]]


def read_labels(file: Path) -> list[Label]:
    """Read a list of notes, a name such as ``keys-060-100`` on each line; ValueError names file, line and name."""
    labels = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name = line.split("#")[0].strip()
        if not name:
            continue
        role, *numbers = name.rsplit("-", 2)
        if len(numbers) != 2 or not all(value.isdecimal() for value in numbers):
            raise ValueError(f"{file}, line {number}: {name!r} names no note; one is 'keys-060-100'")
        labels.append(Label(role, *map(int, numbers)))
    return labels
