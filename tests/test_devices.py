"""What a CPU can tell of CUDA: a step is on one device and waits for no value, and its numbers are repeatable."""

import contextlib
import os
import sys
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from singlib.grid import PROFILES, STAGES, Cell
from singlib.network.devices import resolve_device
from singlib.nsynth import load_notes
from singlib.runs import cluster, training

SMOKE = PROFILES["smoke"]


@pytest.fixture
def shapes_alone(monkeypatch):
    """Have autocast and fused Adam take the device "meta", which they know by name alone.

    A tensor there has a shape and no values: what asks for a value (``item``, ``if tensor``, ``nonzero``, a copy to the
    CPU) raises an error.
    """
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_settings: contextlib.nullcontext())
    monkeypatch.setattr(torch.nn.LSTM, "forward", lstm)  # PyTorch's own takes 20 s there
    monkeypatch.setattr(sys.modules[torch.optim.Adam.__module__], "_device_dtype_check_for_fused", lambda _weight: None)


class OneDevice(TorchDispatchMode):
    """Refuse operations on tensors elsewhere than on "meta"; numbers may be, as on CUDA."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, torch.Tensor) and value.ndim and value.device.type != "meta":
                raise RuntimeError(f"{operation} takes a tensor of {value.device}, others are on meta")
        return operation(*args, **(kwargs or {}))


def lstm(self, notes, state=None):
    """Take the place of the LSTM: its shapes."""
    state = state or tuple(notes.new_zeros(self.num_layers, len(notes), self.hidden_size) for _ in range(2))
    output = functional.linear(notes, self.weight_ih_l0[: self.hidden_size]) + state[0][-1].unsqueeze(1)
    return output, tuple(part + output[:, -1] for part in state)


def steps(cell, profile=SMOKE):
    """Return a trainer on "meta", and a function that takes a step of a stage."""
    trainer = training.Trainer(cell, profile, load_notes("mini", cell.roles), torch.device("meta"))
    trainer.encode()

    def step(stage):
        optimiser, index = trainer.optimiser(stage), torch.arange(profile.batch, device="meta")
        with OneDevice():
            return trainer.step(stage, index, optimiser)

    return trainer, step


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("STFT", {}),
        ("MFC", {}),
        ("CQT", {}),
        ("MRSTFT", {}),
        ("STFT", {"optimiser": "muon", "warm_up": 3, "schedule": "cosine"}),
    ],
)
def test_a_step_is_on_one_device_and_waits_for_no_value(loss, settings, shapes_alone):
    _, step = steps(Cell("brass1", "ELU", loss), replace(SMOKE, **settings))
    for stage in STAGES:
        for values in step(stage).values():
            assert values.device.type == "meta" and values.shape == (SMOKE.batch,)


@pytest.mark.parametrize("fault", ["another device", "a value"])
def test_a_step_that_would_wait_is_noticed(fault, shapes_alone, monkeypatch):
    trainer, step = steps(Cell("brass1"))
    if fault == "another device":
        trainer.levels["MFC"] = torch.zeros(trainer.levels["MFC"].shape)
    else:
        compare = training.Trainer._loss
        monkeypatch.setattr(training.Trainer, "_loss", lambda *args: compare(*args) * compare(*args).mean().item())
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        step("autoencoder")


def test_a_device_that_is_not_there_is_named():
    assert resolve_device("cpu") == torch.device("cpu")
    for unknown in ("gpu", "mps", "meta", "cpu:1", "cuda:x"):
        with pytest.raises(ValueError, match=f"unknown device '{unknown}'; choose one of auto, cpu, cuda"):
            resolve_device(unknown)
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"no device '{missing}': PyTorch .* finds {missing[5:]} CUDA devices here"):
        resolve_device(missing)


def test_a_grid_on_cuda_needs_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="no CUDA device here"):
        cluster.run_grid(SMOKE, device="cuda")


def test_numbers_on_cuda_are_the_same_each_time(monkeypatch):
    """The settings that PyTorch's notes on reproducibility ask for."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    try:
        training.make_repeatable(1, torch.device("cuda"))
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.set_num_threads(threads)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
