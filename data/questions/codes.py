"""Why does ELU fail in the LSTM stage? (section 3.1: there ReLU's loss falls, and ELU's hardly does.)

The LSTM has no ELU; what it must learn are the codes of ELU's encoder. So these are measured beside ReLU's: their
scale, how many directions they fill, how fast they move, how well a code follows from the two before it. Then the
guesses are put to the test by interventions. On the same autoencoder: codes brought to unit variance, in each dimension
or by one number for all; the autoencoder as it was when its loss first came down to `EARLY`, the same for ReLU and ELU.
And on autoencoders whose encoder and decoder have different activations, trained anew.

Keys, STFT, in the paper's regime, at the grid's size (C 512).

    python data/questions/codes.py --workers 2
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from singlib import nsynth
from singlib.grid import PROFILES, Cell
from singlib.network import sing
from singlib.runs import study
from singlib.runs.training import Trainer

HERE = Path(__file__).parent
PROFILE = PROFILES["recorded"]
SEEDS = (0, 1, 2)
PAIRS = (("ReLU", "ReLU"), ("ELU", "ELU"), ("ELU", "ReLU"), ("ReLU", "ELU"))  # of encoder and decoder
EARLY = 0.05  # STFT loss; ReLU and ELU pass it in the middle of their training
RATE = nsynth.SAMPLE_RATE / sing.HOP  # codes a second
SLOW = 4.0  # Hz
LAST = 5  # epochs whose mean is the loss at the end
# How codes are scaled before the LSTM learns them: mean and deviation over these axes of (notes, D, steps).
SCALES = {"no": None, "each dimension": (0, 2), "all at once": (0, 1, 2)}


class Scaled(nn.Module):
    """A decoder of codes that were brought to mean 0 and variance 1."""

    def __init__(self, decoder: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.decoder, self.mean, self.deviation = decoder, mean, deviation

    def forward(self, codes: Tensor) -> Tensor:
        """Codes ``(batch, D, 265)`` -> waveforms ``(batch, 65024)``."""
        return self.decoder(codes * self.deviation + self.mean)


class CodesTrainer(Trainer):
    """A trainer whose encoder may have another activation, and whose codes may be scaled."""

    def __init__(self, cell: Cell, notes: nsynth.Notes, encoder: str, scaled: str = "no") -> None:
        super().__init__(cell, PROFILE, notes, study.DEVICE)
        torch.manual_seed(cell.seed)  # the weights that this seed gives the encoder of any activation
        self.autoencoder.encoder = sing.Encoder(PROFILE.channels, PROFILE.dimension, encoder)
        self.scaled = SCALES[scaled]
        study.watch_nothing_else(self)

    def encode(self) -> None:
        """Compute the codes, scaled if that is asked for."""
        super().encode()
        if self.scaled:
            mean, deviation = self.codes.mean(self.scaled, keepdim=True), self.codes.std(self.scaled, keepdim=True)
            self.codes = (self.codes - mean) / deviation
            self.sing.decoder = Scaled(self.autoencoder.decoder, mean, deviation)


def describe(codes: np.ndarray) -> dict[str, float]:
    """Measure codes ``(notes, D, steps)``.

    ``scale``, root of the mean variance of a dimension; ``rank``, directions that hold the variance, as one over
    the sum of its squared shares; ``slow``, share of the variance in time below 4 Hz; ``unpredicted``, share of the
    variance that no linear prediction from the two codes before explains; ``of_labels``, share that is the mean
    over a note's time.
    """
    _, dimension, steps = codes.shape
    centred = codes - codes.mean((0, 2), keepdims=True)
    shares = np.linalg.eigvalsh(np.cov(centred.transpose(1, 0, 2).reshape(dimension, -1)))
    shares = shares / shares.sum()
    moving = codes - codes.mean(2, keepdims=True)
    power = np.abs(np.fft.rfft(moving)) ** 2
    frequencies = np.fft.rfftfreq(steps, 1 / RATE)
    rows = centred.transpose(0, 2, 1)
    past, now = np.concatenate([rows[:, 1:-1], rows[:, :-2]], axis=2), rows[:, 2:]
    # Notes are in the order of their pitch: every other one is predicted from a fit to those between.
    fitted, predicted = (
        (past[half::2].reshape(-1, 2 * dimension), now[half::2].reshape(-1, dimension)) for half in (0, 1)
    )
    error = predicted[1] - predicted[0] @ np.linalg.lstsq(*fitted, rcond=None)[0]
    return {
        "scale": float(np.sqrt(centred.var(axis=(0, 2)).mean())),
        "rank": float(1 / (shares**2).sum()),
        "slow": float(power[..., frequencies < SLOW].sum() / power.sum()),
        "unpredicted": float((error**2).sum() / (predicted[1] ** 2).sum()),
        "of_labels": float((centred.mean(2) ** 2).sum() * steps / (centred**2).sum()),
    }


def train_autoencoder(trainer: CodesTrainer) -> tuple[study.Rows, dict[bool, tuple[dict[str, Tensor], float]]]:
    """Train an autoencoder; return its losses, and weights and STFT loss at the end (False) and early (True).

    There is no early one if its loss never came down to `EARLY`.
    """
    kept: dict[bool, tuple[dict[str, Tensor], float]] = {}

    def keep_early(means: dict[str, float]) -> None:
        if not kept and means["STFT"] <= EARLY:
            kept[True] = weights_of(trainer), means["STFT"]

    losses = study.train_stage(trainer, "autoencoder", keep_early)
    return losses, kept | {False: (weights_of(trainer), losses[-1]["loss"])}


def weights_of(trainer: CodesTrainer) -> dict[str, Tensor]:
    """Return a copy of the autoencoder's weights."""
    return {key: value.clone() for key, value in trainer.autoencoder.state_dict().items()}


EXPERIMENTS = {f"{encoder}-{decoder}-{seed}": (encoder, decoder, seed) for seed in SEEDS for encoder, decoder in PAIRS}


def train(name: str) -> dict[str, study.Rows]:
    """Train an autoencoder, and LSTMs on its codes."""
    encoder, decoder, seed = EXPERIMENTS[name]
    cell = Cell("keys", decoder, seed=seed)
    notes = nsynth.load_notes(PROFILE.data, cell.roles)
    facts = {"seed": seed, "encoder": encoder, "decoder": decoder} | study.prepare(PROFILE.threads)
    losses, kept = train_autoencoder(CodesTrainer(cell, notes, encoder))
    history, rows = [facts | {"early": False, "scaled": "no"} | row for row in losses], []
    settings = [(False, "no")]
    if encoder == decoder:
        settings += [(False, "each dimension"), (False, "all at once"), *([(True, "no")] if True in kept else [])]
    for early, scaled in settings:
        trainer = CodesTrainer(cell, notes, encoder, scaled)
        weights, autoencoder = kept[early]
        trainer.autoencoder.load_state_dict(weights)
        losses = study.train_stage(trainer, "lstm")
        which = facts | {"early": early, "scaled": scaled}
        history += [which | row for row in losses]
        ends = {
            spectrum: np.mean([row["loss"] for row in losses if row["spectrum"] == spectrum][-LAST:])
            for spectrum in ("STFT", "codes")
        }
        ends["codes"] /= float(trainer.codes.var(dim=(0, 2)).mean())  # of their variance
        found = {"autoencoder": autoencoder, "lstm": ends["STFT"], "codes": ends["codes"]}
        rows.append(which | found | describe(trainer.codes.double().numpy()))
    same = asdict(Cell("keys")) | {"data_digest": notes.digest, "regime": f"{PROFILE.regime}, C {PROFILE.channels}"}
    same = {key: value for key, value in same.items() if key not in ("seed", "activation")}
    return {"codes-history": history, "codes": [row | same for row in rows]}


if __name__ == "__main__":
    rules = {"early": EARLY, "scales": list(SCALES), "slow": SLOW, "last": LAST}
    made_with = {
        name: study.settings(Cell("keys", decoder, seed=seed), PROFILE, encoder=encoder, **rules)
        for name, (encoder, decoder, seed) in EXPERIMENTS.items()
    }
    study.run(HERE, "codes", made_with, train, __doc__.splitlines()[0])
