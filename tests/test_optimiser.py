"""The optimisers of a stage: what Muon moves and what Adam, the rate after so many updates, the average."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from singlib.grid import PROFILES
from singlib.network.sing import Autoencoder, SequenceGenerator
from singlib.runs.optimiser import Optimiser

TINY = replace(PROFILES["smoke"], epochs=(4, 4, 4), learning_rate=2e-3)
MUON = replace(TINY, optimiser="muon")


def follow_a_gradient(module, optimiser, seed=0):
    """Make an update on a gradient of noise."""
    generator = torch.Generator().manual_seed(seed)
    for weights in module.parameters():
        weights.grad = torch.randn(weights.shape, generator=generator)
    optimiser.step()


@pytest.mark.parametrize("module", [Autoencoder(16, 8), SequenceGenerator(3, 8, 16)], ids=["autoencoder", "lstm"])
def test_muon_moves_the_matrices_and_adam_the_rest(module):
    before = {name: weights.detach().clone() for name, weights in module.named_parameters()}
    names = list(module.state_dict())
    optimiser = Optimiser(module, MUON, 0, 10)
    for seed in range(3):
        follow_a_gradient(module, optimiser, seed)
    for name, weights in module.named_parameters():
        plain = nn.Parameter(before[name].clone().flatten(1) if weights.ndim > 1 else before[name].clone())
        if weights.ndim > 1 and name not in ("instrument.weight", "pitch.weight", "velocity.weight", "time.weight"):
            alone = torch.optim.Muon([plain], 2e-3, weight_decay=0, adjust_lr_fn="match_rms_adamw")
        else:
            alone = torch.optim.Adam([plain], 4e-4, fused=True)
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            gradients = {other: torch.randn(w.shape, generator=generator) for other, w in module.named_parameters()}
            plain.grad = gradients[name].view_as(plain)
            alone.step()
        moved, reference = (each.detach().view_as(plain) - before[name].view_as(plain) for each in (weights, plain))
        # PyTorch's Muon rounds to the 8 bits of bfloat16.
        assert (moved - reference).norm() <= (0.03 if isinstance(alone, torch.optim.Muon) else 0) * moved.norm(), name
        assert moved.any()
    assert list(module.state_dict()) == names


def test_an_embedding_moves_only_where_a_note_was():
    sequence = SequenceGenerator(3, 8, 16)
    before = sequence.pitch.weight.detach().clone()
    optimiser = Optimiser(sequence, MUON, 1, 10)
    codes, _ = sequence(torch.tensor([0, 1]), torch.tensor([60, 62]), torch.tensor([0, 1]), slice(0, 4))
    codes.square().mean().backward()
    optimiser.step()
    assert (sequence.pitch.weight != before).any(1).nonzero().flatten().tolist() == [60, 62]


def test_the_rate_rises_and_falls_with_the_number_of_updates():
    profile = replace(MUON, warm_up=10, schedule="cosine")  # 40 updates, an epoch of which has 10
    shares = [Optimiser(nn.Linear(2, 2), profile, 0, 10, made).share() for made in range(41)]
    assert shares[:11] == [*(pytest.approx(n / 10) for n in range(1, 11)), 1]
    assert shares[25] == pytest.approx(0.5) and shares[40] == pytest.approx(0)
    assert sorted(shares[10:], reverse=True) == shares[10:]
    layer = nn.Linear(2, 2)
    optimiser = Optimiser(layer, profile, 0, 10, made=25)
    follow_a_gradient(layer, optimiser)
    rates = {name: part.param_groups[0]["lr"] for name, part in optimiser.parts.items()}
    assert rates == {"muon": pytest.approx(1e-3), "optimiser": pytest.approx(2e-4)} and optimiser.made == 26
    assert {Optimiser(layer, TINY, 0, 10, made).share() for made in range(41)} == {1}


@pytest.mark.parametrize("profile", [TINY, MUON], ids=["adam", "muon"])
def test_averaged_weights_are_the_mean_over_the_last_epochs(profile):
    layer = nn.Linear(3, 2)
    optimiser = Optimiser(layer, replace(profile, averaged_epochs=2), 0, 3)
    seen = []
    for seed in range(12):
        follow_a_gradient(layer, optimiser, seed)
        seen.append(layer.weight.detach().clone())
    optimiser.finish()
    torch.testing.assert_close(layer.weight.detach(), torch.stack(seen[6:]).mean(0))


def test_without_a_gradient_nothing_moves():
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    Optimiser(layer, MUON, 0, 3).step()
    assert torch.equal(layer.weight, before)
