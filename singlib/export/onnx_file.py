"""A model as an ONNX file: three arrays of labels in, waveforms out, for any runtime and any number of notes."""

import json
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import __version__
from ..files import replacing, write_text
from ..network.generation import load_model
from ..network.sing import SING, trim
from ..nsynth import SAMPLE_RATE, VELOCITIES
from ..runs.model_cards import card_of
from .target import claim

LABELS = ("instrument", "pitch", "velocity")  # inputs, int64: place among `roles`, MIDI pitch, place among `velocities`


class _LSTM(nn.Module):
    """The LSTM as ONNX's own operators: torch would unroll its 265 steps, twice, to learn their shapes (a minute)."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.layers, self.hidden = lstm.num_layers, lstm.hidden_size
        for number, (*weights, bias, other) in enumerate(lstm.all_weights):
            parts = [*(weight.detach() for weight in weights), bias.detach(), other.detach()]
            parts = [torch.cat([part.chunk(4)[gate] for gate in (0, 3, 1, 2)]) for part in parts]  # i, o, f, c
            self.register_buffer(f"w{number}", parts[0][None])
            self.register_buffer(f"r{number}", parts[1][None])
            self.register_buffer(f"b{number}", torch.cat(parts[2:])[None])

    def forward(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """Map ``(notes, steps, features)`` to ``(notes, steps, hidden)``."""
        x = x.transpose(0, 1)
        for number in range(self.layers):
            weights = [getattr(self, f"{kind}{number}") for kind in "wrb"]
            shape = (x.shape[0], 1, x.shape[1], self.hidden)
            y = torch.onnx.ops.symbolic("LSTM", [x, *weights], {"hidden_size": self.hidden}, dtype=x.dtype, shape=shape)
            x = y.squeeze(1)
        return x.transpose(0, 1), None


class _Notes(nn.Module):
    """Labels, each ``(notes,)`` -> waveforms ``(notes, 64000)``."""

    def __init__(self, sing: SING) -> None:
        super().__init__()
        self.sing = sing
        self.sing.sequence.lstm = _LSTM(sing.sequence.lstm)

    def forward(self, instrument: Tensor, pitch: Tensor, velocity: Tensor) -> Tensor:
        return trim(self.sing(instrument, pitch, velocity))


def write_onnx(weights: Path, folder: Path) -> Path:
    """Write ``<cell>.onnx``, with its metadata inside, and the model's card; return the file.

    Metadata are ``about`` (see `singlib.network.generation.Model`), ``roles``, ``velocities``, ``sample_rate``,
    ``singlib``. Errors are those of `load_model`, `card_of` and `claim`; OSError if a file cannot be written.
    """
    model, card = load_model(weights), card_of(weights)
    claim(folder, weights, model, format="onnx")
    notes = torch.export.Dim("notes")
    labels = tuple(torch.tensor([0, 0]) for _ in LABELS)  # two notes: of one, the number would be taken for a constant
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's, of its own deprecated parts
        logging.getLogger("torch.onnx._internal.exporter").setLevel(logging.ERROR)  # "torchvision is not installed"
        program = torch.onnx.export(
            _Notes(model.sing).eval(),
            labels,
            dynamo=True,
            input_names=LABELS,
            output_names=["waveform"],
            dynamic_shapes=({0: notes},) * len(LABELS),
            verbose=False,
        )
    program.model.metadata_props.update(
        about=json.dumps(model.about),
        roles=json.dumps(model.roles),
        velocities=json.dumps(VELOCITIES),
        sample_rate=str(SAMPLE_RATE),
        singlib=__version__,
    )
    file = folder / f"{model.about.get('cell', weights.stem)}.onnx"
    with replacing(file) as beside:
        program.save(beside)
    write_text(folder / "README.md", card)
    return file
