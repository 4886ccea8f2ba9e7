"""Benchmarks measure two sides alternately in one run and print the ratio of their times."""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

PAIRS = 9
TABLES = pytest.StashKey[dict]()  # title -> rows


def _transform(input_shape, dim, *args, **kwargs):
    """Operations of a real FFT, 2.5 N log2 N; a complex one takes twice as many."""
    size = input_shape[dim[-1]]
    return 2.5 * np.prod(input_shape) * np.log2(size)


def _inverse(input_shape, dim, normalization, size, *args, **kwargs):
    return 2.5 * np.prod(input_shape) / input_shape[dim[-1]] * size * np.log2(size)


aten = torch.ops.aten
TRANSFORMS = {
    aten._fft_r2c: _transform,
    aten._fft_c2r: _inverse,
    aten._fft_c2c: lambda *args, **kwargs: 2 * _transform(*args, **kwargs),
}


def operations(compute):
    """Count the floating-point operations of matrix products, convolutions and FFTs."""
    with FlopCounterMode(display=False, custom_mapping=TRANSFORMS) as counter:
        compute()
    return counter.get_total_flops()


def seconds(compute):
    start = time.perf_counter()
    compute()
    return time.perf_counter() - start


@pytest.fixture(scope="session")
def machine_rate():
    """Operations a second of a large 1x1 convolution, channels last: the fastest product this PyTorch has.

    On AMD processors it reaches twice the rate of ``matrix @ matrix``.
    """
    channels, pixels = 1024, 4096
    image = torch.randn(1, channels, 1, pixels).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 1, 1)
    with torch.no_grad():
        return 2 * channels**2 * pixels / min(seconds(lambda: F.conv2d(image, weight)) for _ in range(9))


@pytest.fixture
def note(pytestconfig):
    """Return a function that adds a row to one of the tables printed at the end."""

    def add(title, row):
        pytestconfig.stash.setdefault(TABLES, {}).setdefault(title, []).append(row)

    return add


@pytest.fixture
def note_times(note):
    """Return a function that notes the seconds of two sides, measured in turn, and returns the row of the report."""

    def add(name, one, other, bar="", **more):
        ratios = np.array(other) / np.array(one)
        row = {
            "other / one": name,
            "one, ms": 1e3 * np.median(one),
            "other, ms": 1e3 * np.median(other),
            "ratio": np.median(ratios),
            "quartiles": "{:.2f}-{:.2f}".format(*np.quantile(ratios, [0.25, 0.75])),
            "bar": bar,
        } | more
        note("ratios", row)
        return row

    return add


@pytest.fixture
def compare(benchmark, machine_rate, note_times):
    """Return a function that times two computations alternately; the ratio is the second's time to the first's."""

    def run(name, one, other, bar=""):
        times = []
        one()  # warm both
        other()
        benchmark.pedantic(one, setup=lambda: times.append(seconds(other)), rounds=PAIRS)
        mine = benchmark.stats.stats.data
        rates = {"one, GFLOP/s": operations(one) / np.median(mine) / 1e9, "machine": machine_rate / 1e9}
        benchmark.extra_info.update(note_times(name, mine, times, bar, **rates))

    return run


@pytest.fixture
def compare_memory(note):
    """Return a function that notes the largest memory of our side and of the plain reading, in MB."""

    def add(name, ours, theirs):
        row = {"training": name, "ours, MB": ours, "plain, MB": theirs, "ours / plain": ours / theirs, "bar": "<= 1.2"}
        note("peak memory of a process that trains in all stages", row)

    return add


def pytest_terminal_summary(terminalreporter, config):
    for title, rows in config.stash.get(TABLES, {}).items():
        terminalreporter.section(title)
        terminalreporter.line(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"))
        if title == "ratios":
            terminalreporter.line(
                f"Medians of {PAIRS} pairs on {torch.get_num_threads()} threads. GFLOP/s count products, convolutions "
                "and FFTs, not elementwise work; 'machine' is the fastest product measured here, a large 1x1 "
                "convolution."
            )
