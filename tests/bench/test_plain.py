"""The two sides of the benchmark compute the same: loss and gradient agree to 1e-4."""

import plain
import pytest
import torch
from torch.nn import functional as F

from singlib.network import sing
from singlib.nsynth import Label, index, read_waveform
from singlib.spectra import SPECTRA, SpectralLoss


@pytest.fixture(scope="module")
def notes():
    labels = [Label("keys", 45, 100), Label("brass1", 50, 75)]
    return torch.stack([torch.from_numpy(read_waveform(index("mini")[label])) for label in labels])


def relative(ours, theirs):
    """Distance of two gradients, relative to the length of the second."""
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("name", plain.SPECTRA)
def test_losses_agree(name, notes):
    target = sing.target(notes)
    # |d| has no derivative at 0: with this seed no d is so small that rounding decides its sign.
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    ours, theirs = ((0.7 * target + 0.02 * noise).requires_grad_() for _ in range(2))
    value, expected = SpectralLoss(SPECTRA[name]())(ours, target), plain.loss(name, theirs, target)
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    assert relative(ours.grad, theirs.grad) < 1e-4


@pytest.mark.parametrize(("activation", "function"), [("ReLU", F.relu), ("ELU", F.elu)])
@pytest.mark.parametrize("name", plain.SPECTRA)
def test_autoencoders_agree(name, activation, function, notes):
    torch.manual_seed(0)
    ours, theirs = sing.Autoencoder(32, 8, activation), plain.PlainAutoencoder(32, 8, function)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    with torch.no_grad():
        for mine, other in pairs:
            other.copy_(mine)
    value = SpectralLoss(SPECTRA[name]())(ours(sing.pad(notes)), sing.target(notes))
    expected = plain.loss(name, theirs(sing.pad(notes)), sing.target(notes))
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    mine, other = (torch.cat([parameter.grad.flatten() for parameter in side]) for side in zip(*pairs, strict=True))
    assert relative(mine, other) < 1e-4
