"""One training step of each stage: autoencoder, LSTM on its codes, fine-tuning end to end.

The spectral loss trains the autoencoder and the fine-tuning; the LSTM trains on the squared error of codes. Every step
also evaluates all three spectra of its output, as trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import nsynth
from ..grid import LOSSES, Cell, Profile
from ..spectra import MFC, SPECTRA, STFT, SpectralLoss
from . import sing

STAGES = ("autoencoder", "lstm", "fine-tuning")
CHUNK = 32  # time steps of the LSTM between two updates; its state is carried over, without gradient
LEVELS = 128e6  # bytes of targets' levels to keep


class Trainer:
    """The models, notes and losses of one cell, and one training step of each stage."""

    def __init__(self, cell: Cell, profile: Profile, notes: nsynth.Notes, device: torch.device) -> None:
        torch.manual_seed(cell.seed)  # the same seed starts every cell of a size from the same weights
        shape = (profile.channels, profile.dimension, cell.activation, cell.elu_alpha)
        self.autoencoder = sing.Autoencoder(*shape).to(device)
        sequence = sing.SequenceGenerator(len(cell.roles), profile.dimension, profile.hidden, profile.layers)
        self.sing = sing.SING(sequence.to(device), self.autoencoder.decoder)
        gradients = dict.fromkeys(LOSSES, "flow") | {cell.loss: cell.gradient}
        losses = {name: SpectralLoss(SPECTRA[name](), profile.eps, how) for name, how in gradients.items()}
        self.losses = nn.ModuleDict(losses).to(device)
        self.cell, self.profile, self.device = cell, profile, device
        self.waveforms = torch.from_numpy(notes.waveforms).to(device)
        self.labels = [torch.from_numpy(x).to(device) for x in (notes.instrument, notes.pitch, notes.velocity)]
        self.levels = self._levels()
        self.codes: Tensor | None = None

    @torch.no_grad()
    def _levels(self) -> dict[str, Tensor]:
        """Compute targets' levels once for all epochs, the costliest for their size first, up to `LEVELS` bytes.

        Those of 440 notes have 38 MB (CQT), 9 MB (MFC) and 227 MB (STFT).
        """
        levels, left = {}, LEVELS
        parts = self.waveforms.split(self.profile.batch)
        for name in reversed(LOSSES):
            loss = self.losses[name]
            first = loss.level(sing.target(parts[0]))
            size = len(self.waveforms) * first[0].nbytes
            if size <= left:
                left -= size
                # A frame's bins lie together, as in the spectra that they are compared with.
                kept = first.new_empty(len(self.waveforms), *first.mT.shape[1:])
                for rows, part in zip(kept.split(self.profile.batch), parts, strict=True):
                    rows.copy_(loss.level(sing.target(part)).mT)
                levels[name] = kept.mT
        return levels

    @torch.no_grad()
    def level(self, name: str, index: Tensor) -> Tensor:
        """Return the level of some notes as targets, ``(batch, bins, frames)``."""
        if name in self.levels:
            return self.levels[name][index]
        return self.losses[name].level(sing.target(self.waveforms[index]))

    def modules(self) -> nn.ModuleDict:
        """Return all that is trained, under the names of a checkpoint."""
        return nn.ModuleDict({"encoder": self.autoencoder.encoder, "sing": self.sing})

    def parameters(self, stage: str) -> list[nn.Parameter]:
        """Return what a stage trains."""
        trained = {"autoencoder": self.autoencoder, "lstm": self.sing.sequence, "fine-tuning": self.sing}
        return list(trained[stage].parameters())

    def encode(self) -> None:
        """Compute the codes of all notes, the targets of the LSTM stage."""
        with torch.no_grad():
            parts = self.waveforms.split(self.profile.batch)
            self.codes = torch.cat([self.autoencoder.encoder(sing.pad(part)) for part in parts])

    def optimiser(self, stage: str) -> torch.optim.Adam:
        """Return a new optimiser for what a stage trains."""
        return torch.optim.Adam(self.parameters(stage), self.profile.learning_rate, fused=True)

    def step(self, stage: str, index: Tensor, optimiser: torch.optim.Optimizer | None) -> dict[str, Tensor]:
        """Take one step on some notes (without an optimiser, only evaluate); return losses ``(batch,)`` by spectrum."""
        if stage == "lstm":
            output = self.follow_codes(index, optimiser)
            error = (output - self.codes[index]).square().mean(dim=(1, 2))
            with torch.no_grad():
                estimate = self.sing.decoder(output)
                power = self.losses["STFT"].spectrum(estimate)
            return {"codes": error} | self._evaluate(LOSSES, estimate, power, index)
        train, estimate, power = self.update(stage, index, optimiser)
        side = (name for name in LOSSES if name != self.cell.loss)
        return {self.cell.loss: train} | self._evaluate(side, estimate, power, index)

    def update(
        self, stage: str, index: Tensor, optimiser: torch.optim.Optimizer | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Train the autoencoder or the whole; return training loss ``(batch,)``, estimate, and its STFT."""
        with torch.set_grad_enabled(optimiser is not None):
            if stage == "autoencoder":
                estimate = self.autoencoder(sing.pad(self.waveforms[index]))
            else:
                estimate = self.sing(*(label[index] for label in self.labels))
            power = self.losses["STFT"].spectrum(estimate)
            train = self._loss(self.cell.loss, estimate, power, index)
        if optimiser is not None:
            optimiser.zero_grad()
            train.mean().backward()
            optimiser.step()
        return train.detach(), estimate.detach(), power.detach()

    def follow_codes(self, index: Tensor, optimiser: torch.optim.Optimizer | None) -> Tensor:
        """Train the LSTM on codes, an update every `CHUNK` time steps; return its codes as trained."""
        labels = [label[index] for label in self.labels]
        state, outputs = None, []
        for start in range(0, sing.STEPS, CHUNK):
            steps = slice(start, min(start + CHUNK, sing.STEPS))
            with torch.set_grad_enabled(optimiser is not None):
                codes, state = self.sing.sequence(*labels, steps, state)
                loss = F.mse_loss(codes, self.codes[index, :, steps])
            if optimiser is not None:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            state = tuple(part.detach() for part in state)
            outputs.append(codes.detach())
        return torch.cat(outputs, dim=-1)

    @torch.no_grad()
    def _evaluate(self, spectra: Iterable[str], estimate: Tensor, power: Tensor, index: Tensor) -> dict[str, Tensor]:
        return {name: self._loss(name, estimate, power, index).detach() for name in spectra}

    def _loss(self, name: str, estimate: Tensor, power: Tensor, index: Tensor) -> Tensor:
        """Return a loss of each note; STFT and MFC share `power`, the estimate's STFT."""
        loss, spectrum = self.losses[name], self.losses[name].spectrum
        if isinstance(spectrum, STFT):
            values = power
        else:
            values = spectrum.of_power(power) if isinstance(spectrum, MFC) else spectrum(estimate)
        return loss.compare(values, self.level(name, index))

    @torch.no_grad()
    def activations(self) -> dict[str, float]:
        """Return mean and standard deviation of activations on the first batch, averaged over the six layers.

        ELU is said to train faster because it keeps their mean near zero (D.-A. Clevert et al., 2015).
        """
        layers = [layer for part in (self.autoencoder.encoder, self.autoencoder.decoder) for layer in list(part)[1:6:2]]
        outputs: list[Tensor] = []
        hooks = [layer.register_forward_hook(lambda _layer, _in, out: outputs.append(out)) for layer in layers]
        self.autoencoder(sing.pad(self.waveforms[: self.profile.batch]))
        for hook in hooks:
            hook.remove()
        return {
            "activation_mean": float(np.mean([out.mean().item() for out in outputs])),
            "activation_std": float(np.mean([out.std().item() for out in outputs])),
        }

    def batches(self, stage: str, epoch: int) -> Iterator[Tensor]:
        """Yield the indices of an epoch's batches, in an order that depends on seed, stage and epoch alone."""
        order = np.arange(len(self.waveforms))
        if epoch:
            order = np.random.default_rng((self.cell.seed, STAGES.index(stage), epoch)).permutation(len(order))
        yield from torch.from_numpy(order).to(self.device).split(self.profile.batch)

    def run_epoch(self, stage: str, epoch: int, optimiser: torch.optim.Optimizer) -> tuple[dict[str, float], int]:
        """Train one epoch (evaluate, if it is 0); return the mean loss by spectrum, and the number of updates.

        FloatingPointError if a loss is not finite.
        """
        sums: dict[str, Tensor] = {}
        updates = 0
        for index in self.batches(stage, epoch):
            values = self.step(stage, index, optimiser if epoch else None)
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.double().sum()
            updates += bool(epoch) * (math.ceil(sing.STEPS / CHUNK) if stage == "lstm" else 1)
        means = {name: float(total) / len(self.waveforms) for name, total in sums.items()}
        bad = [name for name, value in means.items() if not np.isfinite(value)]
        if bad:
            raise FloatingPointError(f"{self.cell.name}: the {', '.join(bad)} loss is not finite in {stage} {epoch}")
        return means, updates


def autoencoder_losses(cell: Cell, profile: Profile, notes: nsynth.Notes, epochs: int) -> list[float]:
    """Train the autoencoder of a cell; return its training loss before the first and after each epoch."""
    trainer = Trainer(cell, profile, notes, torch.device("cpu"))
    optimiser = torch.optim.Adam(trainer.parameters("autoencoder"), lr=profile.learning_rate)
    return [trainer.run_epoch("autoencoder", epoch, optimiser)[0][cell.loss] for epoch in range(epochs + 1)]
