"""A training step of each stage, an epoch with its side losses, and generation, against the plain reading."""

from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from torch.nn import functional as F

from singlib.generation import Model
from singlib.grid import PROFILES, Cell
from singlib.nsynth import VELOCITIES, Label, Notes
from singlib.stages import STAGES, Trainer

pytest_plugins = ["ratios"]  # the fixture `compare`

DIMENSION, HIDDEN = 128, 256


def some_notes(count):
    """Return notes of noise: what a step costs does not depend on what is played."""
    waveforms = np.random.default_rng(0).standard_normal((count, 64_000), np.float32) / 10
    index = np.arange(count)
    return Notes(waveforms, 0 * index, 30 + index, index % len(VELOCITIES), ("keys",), "")


class Sides:
    """Both sides at one size: our trainer, and the plain reading, on the same notes."""

    def __init__(self, channels, batch, loss="STFT", count=None):
        notes = some_notes(count or batch)
        profile = replace(PROFILES["paper"], channels=channels, dimension=DIMENSION, hidden=HIDDEN, batch=batch)
        self.loss, self.all = loss, torch.arange(len(notes))
        self.ours = Trainer(Cell(loss=loss), profile, notes, torch.device("cpu"))
        self.ours.encode()
        self.optimisers = {stage: self.ours.optimiser(stage) for stage in STAGES}
        self.network = plain.PlainAutoencoder(channels, DIMENSION)
        self.sequence = plain.PlainSequence(1, DIMENSION, HIDDEN)
        self.adam = torch.optim.Adam([*self.network.parameters(), *self.sequence.parameters()], 3e-4)
        waveforms = torch.from_numpy(notes.waveforms)
        self.padded = F.pad(waveforms, (2304, 2304)).split(batch)
        self.targets = F.pad(waveforms, (512, 512)).split(batch)
        columns = (notes.instrument, notes.pitch, notes.velocity)
        self.labels = list(zip(*(torch.from_numpy(column).split(batch) for column in columns), strict=True))
        with torch.no_grad():
            self.codes = [plain.encode(self.network, padded) for padded in self.padded]

    def our_step(self, stage):
        """Train on all notes at once, without side losses."""
        if stage == "lstm":
            self.ours.follow_codes(self.all, self.optimisers[stage])
        else:
            self.ours.update(stage, self.all, self.optimisers[stage])

    def plain_step(self, stage, batch=0):
        if stage == "lstm":
            plain.sequence_step(self.sequence, self.adam, self.labels[batch], self.codes[batch])
        else:
            plain.step(self.adam, plain.loss(self.loss, self.estimate(stage, batch), self.targets[batch]))

    def estimate(self, stage, batch):
        if stage == "autoencoder":
            return self.network(self.padded[batch])
        return plain.decode(self.network, self.sequence(*self.labels[batch])[0])

    def our_epoch(self, stage):
        self.ours.run_epoch(stage, 1, self.optimisers[stage])

    def our_epoch_without_side_losses(self, stage):
        for index in self.ours.batches(stage, 1):
            self.ours.update(stage, index, self.optimisers[stage])

    def plain_epoch(self, stage):
        """Train on every batch, then evaluate all three losses in a second pass."""
        batches = range(len(self.targets))
        for batch in batches:
            self.plain_step(stage, batch)
        plain.side_losses([lambda batch=batch: self.estimate(stage, batch) for batch in batches], self.targets)


STEPS = [
    ("autoencoder", 256, 16, "STFT", ">= 1.5"),
    ("autoencoder", 512, 16, "STFT", ">= 1.3"),
    ("autoencoder", 4096, 4, "STFT", ">= 1.0"),
    ("autoencoder", 256, 16, "MFC", ">= 2"),
    ("autoencoder", 256, 16, "CQT", ">= 3"),
    ("fine-tuning", 256, 16, "STFT", ">= 1.3"),
    ("lstm", 256, 16, "STFT", ""),
]


@pytest.mark.parametrize(("stage", "channels", "batch", "loss", "bar"), STEPS)
def test_step(stage, channels, batch, loss, bar, compare):
    sides = Sides(channels, batch, loss)
    name = f"plain {stage} step, C {channels}, batch {batch}, {loss} / ours"
    compare(name, lambda: sides.our_step(stage), lambda: sides.plain_step(stage), bar)


@pytest.mark.parametrize(("stage", "bar"), [("autoencoder", ""), ("lstm", ">= 1.2"), ("fine-tuning", "")])
def test_epoch(stage, bar, compare):
    sides = Sides(256, 16, count=32)
    name = f"plain {stage} epoch and its side losses, C 256 / ours"
    compare(name, lambda: sides.our_epoch(stage), lambda: sides.plain_epoch(stage), bar)


def test_side_losses(compare):
    sides = Sides(256, 16, count=32)
    without = lambda: sides.our_epoch_without_side_losses("autoencoder")  # noqa: E731
    compare("epoch with side losses / without", without, lambda: sides.our_epoch("autoencoder"), "<= 1.3")


def test_generation(compare):
    sides = Sides(256, 16)
    model = Model(sides.ours.sing, {"roles": ["keys"], "pitches": {"keys": [30, 108]}})
    labels = [Label("keys", 30 + number, VELOCITIES[number % len(VELOCITIES)]) for number in range(16)]

    def theirs():
        with torch.no_grad():
            sides.estimate("fine-tuning", 0)

    compare("plain generation of 16 notes, C 256, LSTM 256 / ours", lambda: model.generate(labels), theirs, ">= 1.5")
