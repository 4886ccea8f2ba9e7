"""The spectra, forward and backward, and the loss as a training step computes it. Batch 16 of 65,024 samples."""

import plain
import pytest
import torch
from torch.nn import functional as F

from singlib.network.sing import Autoencoder
from singlib.spectra import SPECTRA, SpectralLoss

pytest_plugins = ["ratios"]  # the fixture `compare`

BATCH, SAMPLES, PADDED = 16, 65_024, 68_608


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(0)
    estimate, target = torch.randn(2, BATCH, SAMPLES, generator=generator) / 10
    return estimate.requires_grad_(), target


def transform(spectrum, waveform):
    """One transform, forward and backward: the gradient of the mean power."""

    def compute():
        waveform.grad = None
        spectrum(waveform).mean().backward()

    return compute


def power(name):
    """Return the plain transform squared, as singlib's gives it; MFC's are coefficients on both sides."""
    return plain.MFC if name == "MFC" else lambda waveform: plain.SPECTRA[name](waveform) ** 2


@pytest.mark.parametrize(("name", "bar"), [("STFT", ">= 1"), ("MFC", ""), ("CQT", ">= 5")])
def test_transform_against_plain(name, bar, pair, compare):
    label = {"STFT": "torch.stft", "MFC": "nnAudio MFCC", "CQT": "nnAudio CQT1992v2"}[name]
    compare(f"{label} / {name}", transform(SPECTRA[name](), pair[0]), transform(power(name), pair[0]), bar)


@pytest.mark.parametrize(("name", "bar"), [("MFC", "<= 1.5"), ("CQT", "<= 1.3")])
def test_transform_against_stft(name, bar, pair, compare):
    stft = transform(SPECTRA["STFT"](), pair[0])
    compare(f"{name} / STFT", stft, transform(SPECTRA[name](), pair[0]), bar)


def loss(name, pair):
    """One step's loss and its gradient; the target's level is kept, as training keeps it."""
    estimate, target = pair
    measure = SpectralLoss(SPECTRA[name]())
    level = measure.level(target)

    def compute():
        estimate.grad = None
        measure.per_note(estimate, level).mean().backward()

    return compute


def plain_loss(name, pair):
    """Return the same with both signals transformed in every step."""
    estimate, target = pair

    def compute():
        estimate.grad = None
        plain.loss(name, estimate, target).backward()

    return compute


@pytest.mark.parametrize(("name", "bar"), [("STFT", ">= 1"), ("MFC", ""), ("CQT", ">= 5")])
def test_loss_against_plain(name, bar, pair, compare):
    compare(f"plain {name} loss / ours", loss(name, pair), plain_loss(name, pair), bar)


@pytest.mark.parametrize("name", ["MFC", "CQT"])
def test_loss_against_stft(name, pair, compare):
    compare(f"{name} loss / STFT loss", loss("STFT", pair), loss(name, pair), "<= 1.5")


@pytest.mark.parametrize("name", plain.SPECTRA)
def test_autoencoder_step(name, pair, compare):
    """Forward and backward through a network of 256 channels."""
    target = pair[1]
    padded = F.pad(target, ((PADDED - SAMPLES) // 2,) * 2)
    measure, ours, theirs = SpectralLoss(SPECTRA[name]()), Autoencoder(256, 32), plain.PlainAutoencoder(256, 32)
    level = measure.level(target)
    compare(
        f"plain autoencoder step, C 256, {name} / ours",
        lambda: measure.per_note(ours(padded), level).mean().backward(),
        lambda: plain.loss(name, theirs(padded), target).backward(),
    )
