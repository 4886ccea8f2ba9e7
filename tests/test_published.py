"""What the authors saw: a loss whose gradient is cut changes nothing; with its gradient it trains.

The smoke grid is the short form; the quick grid, ten minutes and more, runs under `make test-slow`.
"""

import pytest
import torch

from conftest import run_singlib
from singlib import nsynth
from singlib.grid import PROFILES, cells
from singlib.network.generation import load_model
from singlib.runs import records
from singlib.runs.training import Trainer


@pytest.fixture(params=["smoke", pytest.param("quick", marks=pytest.mark.slow)])
def runs(request, smoke_root):
    if request.param != "smoke":
        assert run_singlib("run", "--profile", request.param, root=smoke_root).wait() == 0
    return records.load(request.param)


def test_cut_stays_flat_and_flow_falls(runs):
    assert not runs.missing
    spectral = runs.history[runs.history.stage != "lstm"]
    cut = spectral[spectral.gradient == "cut"].groupby(["cell", "stage", "spectrum"]).loss
    assert len(cut) == 2 * 3 * sum(cell.gradient == "cut" for cell in cells(runs.profile))
    assert ((cut.max() - cut.min()) < 1e-6 * cut.max()).all()
    codes = runs.history[(runs.history.gradient == "cut") & (runs.history.spectrum == "codes")].groupby("cell").loss
    assert (codes.last() < codes.first()).all(), "the LSTM trains on codes, whatever the loss"
    flow = spectral[(spectral.gradient == "flow") & (spectral.stage == "autoencoder") & (spectral.role == "train")]
    ends = flow.groupby("cell").loss
    assert (ends.last() < ends.first()).all()


def test_cut_leaves_the_decoder_as_it_was_drawn(runs):
    profile = PROFILES[runs.profile.name]
    cut = [cell for cell in cells(profile) if cell.gradient == "cut"]
    assert cut
    for cell in cut:
        drawn = Trainer(cell, profile, nsynth.load_notes(profile.data, cell.roles), torch.device("cpu"))
        trained = load_model(runs.folder(cell.name) / "sing.safetensors").sing.decoder.state_dict()
        assert all(torch.equal(value, trained[key]) for key, value in drawn.sing.decoder.state_dict().items())
