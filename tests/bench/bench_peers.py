"""The CQT and the losses against other libraries': time, memory, and whether they compute the same.

A peer that is not installed is skipped, and pytest says so: ``pip install singlib[bench]``.
"""

from importlib.metadata import PackageNotFoundError, version

import peers
import pytest
import torch

pytest_plugins = ["ratios"]  # the fixtures `compare` and `note`

SETTINGS = pytest.mark.parametrize("setting", peers.SETTINGS)
EXACT = 0.05  # of librosa's peaks: our own bar (tests/test_any_rate.py)
DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "both"])


def installed(distribution):
    """Return the name and version of a distribution; skip the test where it is not there."""
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: pip install singlib[bench]")


def computation(function, waveform, direction, *others):
    """One transform or loss, with its gradient if asked for."""

    def forward():
        with torch.no_grad():
            function(waveform, *others)

    def both():
        waveform.grad = None
        function(waveform, *others).mean().backward()

    return forward if direction == "forward" else both


@DIRECTIONS
@pytest.mark.parametrize("peer", peers.CQTS, ids=lambda peer: peer.__name__)
@SETTINGS
def test_cqt(setting, peer, direction, compare):
    distribution, same = peers.CQTS[peer]
    installed(distribution)
    sizes = peers.SETTINGS[setting]
    ours, theirs = (make(*sizes) for make in (peers.our_cqt, peer))
    exact = same and peers.difference_from_librosa(theirs, *sizes) < EXACT
    waveform = peers.waveforms(sizes[0])
    sides = [computation(transform, waveform, direction) for transform in (ours, theirs)]
    compare(f"{peer.__name__} / CQT, {setting}, {direction}", *sides, ">= 5" if exact else "not exact")


@pytest.mark.parametrize("peer", [peers.our_cqt, *peers.CQTS], ids=lambda peer: peer.__name__)
@SETTINGS
def test_memory_and_exactness_of_cqt(setting, peer, note):
    distribution, same = peers.CQTS.get(peer, ("singlib", True))
    name = installed(distribution)
    sizes = peers.SETTINGS[setting]
    difference = f"{peers.difference_from_librosa(peer(*sizes), *sizes):.1%}" if same else "another transform"
    row = {"setting": setting, "CQT": f"{peer.__name__} ({name})", "peak memory, MB": peers.peak(peer, sizes)}
    note("CQTs: memory forward and backward, and exactness", row | {"from librosa.cqt": difference})


@DIRECTIONS
@pytest.mark.parametrize("peer", peers.LOSSES, ids=lambda peer: peer.__name__)
def test_loss(peer, direction, compare):
    installed("auraloss")
    waveform, target = peers.waveforms(16_000), peers.waveforms(16_000, seed=1).detach()
    makes = (peers.LOSSES[peer], peer)
    sides = [computation(make(), waveform, direction, target) for make in makes]
    compare(f"{peer.__name__} / {makes[0].__name__}, {direction}", *sides, ">= 1")
