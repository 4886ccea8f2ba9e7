"""A training step of each stage, an epoch with its side losses, generation, and memory, against the plain reading."""

import ours
import plain
import pytest
import torch
from apart import Apart
from both import Both

pytest_plugins = ["ratios"]  # the fixtures `compare` and `compare_memory`

STEPS = [
    ("autoencoder", 256, 16, "STFT", ">= 1.5"),
    ("autoencoder", 512, 16, "STFT", ">= 1.3"),
    ("autoencoder", 4096, 4, "STFT", ">= 1.0"),
    ("autoencoder", 256, 16, "MFC", ">= 2"),
    ("autoencoder", 256, 16, "CQT", ">= 3"),
    ("fine-tuning", 256, 16, "STFT", ">= 1.3"),
    ("lstm", 256, 16, "STFT", ""),
]


@pytest.mark.parametrize(("stage", "channels", "batch", "loss", "bar"), STEPS)
def test_step(stage, channels, batch, loss, bar, compare):
    size = (channels, batch, loss, batch)
    mine = ours.Training(*size)
    with Apart(torch.get_num_threads(), plain.Training, *size) as theirs:
        name = f"plain {stage} step, C {channels}, batch {batch}, {loss} / ours"
        compare(name, lambda: mine.step(stage), lambda: theirs("step", stage), bar)


@pytest.mark.parametrize("keep", [False, True], ids=["defaults", "kept"])
@pytest.mark.parametrize(("stage", "channels", "batch"), [size[:3] for size in STEPS[:3]] + [("fine-tuning", 256, 16)])
def test_step_in_one_process(stage, channels, batch, keep, compare):
    """Without the start that a process of its own gives to one side; steps one after the other."""
    with Apart(torch.get_num_threads(), Both, keep, channels, batch, "STFT", batch) as both:
        how = "freed memory kept" if keep else "the C library's defaults"
        name = f"plain {stage} step, C {channels}, batch {batch} / ours, in one process, {how}"
        compare(name, lambda: both("step", "mine", stage), lambda: both("step", "theirs", stage))


@pytest.mark.parametrize(("stage", "bar"), [("autoencoder", ""), ("lstm", ">= 1.2"), ("fine-tuning", "")])
def test_epoch(stage, bar, compare):
    mine = ours.Training(256, 16, count=32)
    with Apart(torch.get_num_threads(), plain.Training, 256, 16, count=32) as theirs:
        name = f"plain {stage} epoch and its side losses, C 256 / ours"
        compare(name, lambda: mine.epoch(stage), lambda: theirs("epoch", stage), bar)


def test_side_losses(compare):
    mine = ours.Training(256, 16, count=32)
    without = lambda: mine.epoch_without_side_losses("autoencoder")  # noqa: E731
    compare("epoch with side losses / without", without, lambda: mine.epoch("autoencoder"), "<= 1.3")


@pytest.mark.parametrize(("way", "method"), [("at once", "generate"), ("note by note", "generate_each")])
def test_generation(way, method, compare):
    mine = ours.Training(256, 16)
    with Apart(torch.get_num_threads(), plain.Training, 256, 16) as theirs:
        name = f"plain generation of 16 notes {way}, C 256, LSTM 256 / ours"
        compare(name, mine.generate, lambda: theirs(method), ">= 1.5")


@pytest.mark.parametrize(("channels", "batch", "count"), [(256, 16, 440), (64, 4, 1330), (4096, 4, 16)])
def test_memory(channels, batch, count, compare_memory):
    """Whole processes: keys of the paper; the smallest network on the most notes; the paper's network."""
    peaks = []
    for side in (ours.Training, plain.Training):
        with Apart(torch.get_num_threads(), side, channels, batch, count=count) as apart:
            apart("begin_all")
            peaks.append(apart.peak())
    compare_memory(f"C {channels}, batch {batch}, {count} notes", *peaks)
