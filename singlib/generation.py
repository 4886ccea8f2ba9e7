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
import torch
from safetensors import SafetensorError, safe_open

from .grid import check_choice
from .models import SING, Decoder, SequenceGenerator, trim
from .nsynth import SAMPLES, VELOCITIES, Label

BATCH = 16  # notes generated at once


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

    @torch.no_grad()
    def generate(self, labels: Sequence[Label]) -> np.ndarray:
        """Generate notes.

        Parameters
        ----------
        labels : sequence of Label
            Role, MIDI pitch and MIDI velocity of each note.

        Returns
        -------
        ndarray, shape (notes, 64000), float32
            Waveforms at 16 kHz; samples beyond [-1, 1] are possible.

        Raises
        ------
        ValueError
            If a label names an instrument or velocity the model does not know, or a pitch outside the trained range.
        """
        roles = self.about["roles"]
        for label in labels:
            check_choice("instrument", label.role, roles)
            check_choice("velocity", label.velocity, VELOCITIES)
            lowest, highest = self.about["pitches"][label.role]
            if not lowest <= label.pitch <= highest:
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
            tensors = {key: torch.from_numpy(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no model of singlib ({error})") from error
    sing = build(about["shape"])
    sing.load_state_dict(tensors)
    return Model(sing, about)
