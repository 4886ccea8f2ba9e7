"""Do the losses train? Autoencoders at quick size on the brass of data/mini, three seeds.

The long form, 20 epochs of every activation and loss, runs under `make test-slow`.
"""

from itertools import product

import numpy as np
import pytest

from singlib.grid import PROFILES, Cell
from singlib.nsynth import load_notes
from singlib.runs.training import autoencoder_losses

EPOCHS = 20
LONG = [pytest.param(*case, EPOCHS, marks=pytest.mark.slow) for case in product(["ReLU", "ELU"], ["MFC", "CQT"])]
SHORT = [("ELU", "MFC", 5), ("ReLU", "CQT", 5)]


def losses(epochs, **cell):
    cell = Cell(instruments="brass1-5", **cell)
    return autoencoder_losses(cell, PROFILES["quick"], load_notes("mini", cell.roles), epochs)


@pytest.mark.parametrize(("activation", "loss", "epochs"), [*LONG, *SHORT])
def test_with_its_gradient_every_loss_trains(activation, loss, epochs, capsys):
    seeds = np.array([losses(epochs, activation=activation, loss=loss, seed=seed) for seed in range(3)])
    fall, spread = seeds[:, 0] - seeds[:, -1], seeds[:, -1].std(ddof=1)
    with capsys.disabled():
        print(
            f"\n{activation}/{loss}: {seeds[:, 0].round(4)} -> {seeds[:, -1].round(4)}, fall / spread of 3 seeds",
            end="",
        )
        print(f" {fall.mean() / spread:.1f}, smallest {fall.min() / spread:.1f} ", end="")
    assert fall.min() > 3 * spread  # of the seed that falls least


@pytest.mark.parametrize("epochs", [2, pytest.param(EPOCHS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("activation", "loss"), list(product(["ReLU", "ELU"], ["MFC", "CQT"])))
def test_as_published_none_does(activation, loss, epochs):
    values = losses(epochs, activation=activation, loss=loss, gradient="cut")
    assert max(values) - min(values) < 1e-6 * values[0]  # a mean is rounded in another order each epoch
