"""Why does ELU fail in the LSTM stage? (section 3.1: there ReLU's loss falls, and ELU's hardly does.)

The LSTM has no ELU; what it must learn are the codes of ELU's encoder. So these are measured beside ReLU's: their
scale, how many directions they fill, how fast they move, how well a code follows from the two before it. Then the
guesses are put to the test by interventions, each on the same autoencoders: codes brought to unit variance in each
dimension; encoder and decoder of different activations; ELU's autoencoder stopped when it had ReLU's loss.

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
RATE = nsynth.SAMPLE_RATE / sing.HOP  # codes a second
SLOW = 4.0  # Hz


class Scaled(nn.Module):
    """A decoder of codes that were brought to mean 0 and variance 1 in each dimension."""

    def __init__(self, decoder: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.decoder, self.mean, self.deviation = decoder, mean, deviation

    def forward(self, codes: Tensor) -> Tensor:
        """Codes ``(batch, D, 265)`` -> waveforms ``(batch, 65024)``."""
        return self.decoder(codes * self.deviation + self.mean)


class CodesTrainer(Trainer):
    """A trainer whose encoder may have another activation, and whose codes may be scaled."""

    def __init__(self, cell: Cell, notes: nsynth.Notes, encoder: str) -> None:
        super().__init__(cell, PROFILE, notes, study.DEVICE)
        torch.manual_seed(cell.seed)  # the weights that this seed gives the encoder of any activation
        self.autoencoder.encoder = sing.Encoder(PROFILE.channels, PROFILE.dimension, encoder)
        self.scaled = False

    def encode(self) -> None:
        """Compute the codes, scaled if that is asked for."""
        super().encode()
        if self.scaled:
            mean, deviation = self.codes.mean((0, 2))[:, None], self.codes.std((0, 2))[:, None]
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
    past = np.concatenate([rows[:, 1:-1], rows[:, :-2]], axis=2).reshape(-1, 2 * dimension)
    now = rows[:, 2:].reshape(-1, dimension)
    half = len(now) // 2  # predicted are notes that the prediction was not fitted to
    weights = np.linalg.lstsq(past[:half], now[:half], rcond=None)[0]
    error = now[half:] - past[half:] @ weights
    return {
        "scale": float(np.sqrt(centred.var(axis=(0, 2)).mean())),
        "rank": float(1 / (shares**2).sum()),
        "slow": float(power[..., frequencies < SLOW].sum() / power.sum()),
        "unpredicted": float((error**2).sum() / (now[half:] ** 2).sum()),
        "of_labels": float((centred.mean(2) ** 2).sum() * steps / (centred**2).sum()),
    }


def train(name: str) -> dict[str, study.Rows]:
    """Train the autoencoders of a seed, and LSTMs on their codes."""
    seed = int(name)
    facts = {"seed": seed} | study.prepare(PROFILE.threads)
    rows, history, reached = [], [], {}
    for encoder, decoder, stopped in [(*pair, False) for pair in PAIRS] + [("ELU", "ELU", True)]:
        cell = Cell("keys", decoder, seed=seed)
        notes = nsynth.load_notes(PROFILE.data, cell.roles)
        trainer = CodesTrainer(cell, notes, encoder)
        until = (lambda means: means["STFT"] <= reached["ReLU", "ReLU"]) if stopped else None
        losses = study.train_stage(trainer, "autoencoder", until)
        reached[encoder, decoder] = [row["loss"] for row in losses if row["spectrum"] == "STFT"][-1]
        which = facts | {"encoder": encoder, "decoder": decoder, "stopped": stopped}
        history += [which | {"scaled": False} | row for row in losses]
        autoencoder = {key: value.clone() for key, value in trainer.autoencoder.state_dict().items()}
        for scaled in (False, True):
            trainer = CodesTrainer(cell, notes, encoder)
            trainer.autoencoder.load_state_dict(autoencoder)
            trainer.scaled = scaled
            losses = study.train_stage(trainer, "lstm")
            history += [which | {"scaled": scaled} | row for row in losses]
            last = {row["spectrum"]: row["loss"] for row in losses}
            ends = {"autoencoder": reached[encoder, decoder], "lstm": last["STFT"]}
            ends["codes"] = last["codes"] / float(trainer.codes.var(dim=(0, 2)).mean())  # of their variance
            rows.append(which | {"scaled": scaled} | ends | describe(trainer.codes.double().numpy()))
    same = asdict(Cell("keys")) | {"data_digest": notes.digest, "regime": PROFILE.regime}
    same = {key: value for key, value in same.items() if key not in ("seed", "activation")}
    return {"codes-history": history, "codes": [row | same for row in rows]}


if __name__ == "__main__":
    made_with = {str(seed): study.settings(Cell("keys", seed=seed), PROFILE) for seed in SEEDS}
    study.run(HERE, "codes", made_with, train, __doc__.splitlines()[0])
