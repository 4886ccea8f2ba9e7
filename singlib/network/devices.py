"""Where a network is computed: on CPU, or on a CUDA device."""

import re

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


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device, to CUDA from pinned memory, so that the process need not wait for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
