"""Where a network is computed: on CPU, or on a CUDA device."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def resolve_device(name: str = "auto") -> torch.device:
    """Return a device of torch by name: "cpu", "cuda" or "cuda:1"; "auto" is CUDA where there is one.

    ValueError if it is none of these, or there is no such CUDA device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"unknown device {name!r}; choose one of auto, cpu, cuda")
    device, found = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ValueError(f"no device {name!r}: PyTorch {torch.__version__} finds {found} CUDA devices here; choose cpu")
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of the CPU meanwhile.

    The LSTM makes 265 small steps a note: several threads wait for each other longer than they work and, while
    something else runs on the machine, hundreds of times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device, to CUDA from pinned memory, so that the process need not wait for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
