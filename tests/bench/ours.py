"""Our side of the benchmark: `Training` as in plain.py, on the same notes."""

from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from singlib.grid import PROFILES, Cell
from singlib.network.generation import Model
from singlib.nsynth import VELOCITIES, Label, Notes
from singlib.runs.training import STAGES, Trainer, keep_freed_memory


class Training:
    """The three stages as `singlib.runs.training` takes them."""

    def __init__(self, channels, batch, loss="STFT", count=16, dimension=128, hidden=256, keep=True):
        if keep:
            keep_freed_memory()
        waveforms = np.random.default_rng(0).standard_normal((count, 64_000), np.float32) / 10
        index = np.arange(count)
        notes = Notes(waveforms, 0 * index, 30 + index % 79, index % len(VELOCITIES), ("keys",), "")
        profile = replace(PROFILES["paper"], channels=channels, dimension=dimension, hidden=hidden, batch=batch)
        self.trainer = Trainer(Cell(loss=loss), profile, notes, torch.device("cpu"))
        self.trainer.encode()
        self.first = torch.arange(batch)
        self.optimisers = {stage: self.trainer.optimiser(stage) for stage in STAGES}
        self.model = Model(self.trainer.sing, {"roles": ["keys"], "pitches": {"keys": [30, 108]}})
        self.labels = [Label("keys", 30 + number, VELOCITIES[number % len(VELOCITIES)]) for number in range(batch)]

    def step(self, stage):
        """Train on the first batch, without side losses."""
        if stage == "lstm":
            self.trainer.follow_codes(self.first, self.optimisers[stage])
        else:
            self.trainer.update(stage, self.first, self.optimisers[stage])

    def epoch(self, stage):
        self.trainer.run_epoch(stage, 1, self.optimisers[stage])

    def epoch_without_side_losses(self, stage):
        for index in self.trainer.batches(stage, 1):
            self.trainer.update(stage, index, self.optimisers[stage])

    def generate(self):
        self.model.generate(self.labels)

    def begin_all(self):
        """Two batches of each stage, for their memory."""
        for stage in STAGES:
            optimiser = self.trainer.optimiser(stage)
            for index in islice(self.trainer.batches(stage, 1), 2):
                self.trainer.step(stage, index, optimiser)
