"""Where a gradient is lost: which parameters a loss reaches, and the line that cut the rest off.

The authors' MFC and CQT losses went through NumPy; ``backward()`` ran without an error and trained
nothing. This is the report they did not have, for any loss and any model:

>>> print(gradient_report(lambda: loss(model(inputs), target), model))
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Cut:
    """A call that took a tensor with a gradient and returned one without.

    Attributes
    ----------
    call : str
        Name of the function, for example ``Tensor.detach``.
    file, line, code : str, int, str
        Where it was called, outside torch.
    shape : tuple of int
        Of the tensor that lost its gradient.
    """

    call: str
    file: str
    line: int
    code: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}: {self.code}  ({self.call} of a tensor {self.shape})"


@dataclass(frozen=True)
class GradientReport:
    """What a loss does for the parameters of a model.

    Attributes
    ----------
    parameters : DataFrame
        A row for each parameter: ``parameter``, ``shape``, ``norm`` of its gradient; NaN where none arrives.
    cuts : tuple of Cut
        The calls that left the graph, in the order they were made; a cut is no fault by itself (a
        detached target), it is one where parameters get no gradient.
    loss : float
        The value of the loss.
    """

    parameters: pd.DataFrame
    cuts: tuple[Cut, ...]
    loss: float

    @property
    def lost(self) -> list[str]:
        """Names of the parameters that the loss cannot train."""
        return list(self.parameters.parameter[self.parameters.norm.isna()])

    @property
    def not_finite(self) -> list[str]:
        """Names of the parameters whose gradient is infinite or not a number."""
        return list(self.parameters.parameter[np.isinf(self.parameters.norm)])

    def __str__(self) -> str:
        count = len(self.parameters)
        if self.not_finite:
            verdict = f"the gradient of {', '.join(self.not_finite)} is not finite"
        elif not self.lost:
            verdict = f"all {count} parameters get a gradient"
        elif len(self.lost) == count:
            verdict = f"none of the {count} parameters gets a gradient: this loss trains nothing"
        else:
            verdict = f"{len(self.lost)} of {count} parameters get no gradient: {', '.join(self.lost)}"
        lines = [f"loss {self.loss:.4g}; {verdict}"]
        if self.lost:
            places = dict.fromkeys(f"  {cut}" for cut in self.cuts)  # a line in a loop is one place
            lines += ["the graph was cut at", *places] if places else ["no call cut it: they take no part in the loss"]
        return "\n".join(lines)


class _Watch(TorchFunctionMode):
    """Note every call that takes a tensor of the graph and returns values outside it."""

    # They look at a tensor, or choose from it by rank or sign; nobody expects a gradient of them.
    HARMLESS = ("__get__", "size", "dim", "stride", "numel", "is_", "__len__", "__repr__", "__format__")

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[Cut] = []

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        output = func(*args, **(kwargs or {}))
        entered = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.requires_grad]
        if entered and not any(getattr(leaf, "requires_grad", False) for leaf in tree_leaves(output)):
            name = "data" if getattr(func, "__self__", None) is Tensor.data else func.__name__
            values = isinstance(output, (Tensor, np.ndarray, float, list)) and getattr(output, "dtype", 0) != torch.bool
            if values and not name.startswith(self.HARMLESS) and not _in_a_function_of_its_own():
                self.cuts.append(_cut(name, tuple(entered[0].shape)))
        return output


def _in_a_function_of_its_own() -> bool:
    """Say whether we are inside the forward of a torch.autograd.Function, which brings its own backward."""
    frame = None if torch.is_grad_enabled() else sys._getframe(2)
    while frame and frame.f_code is not torch.autograd.Function.apply.__func__.__code__:
        frame = frame.f_back
    return frame is not None


def _cut(name: str, shape: tuple[int, ...]) -> Cut:
    frame, torch_itself = sys._getframe(2), Path(torch.__file__).parent
    while frame.f_back and torch_itself in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    call = (
        ("Tensor." if hasattr(Tensor, name) else "torch.") + name + ("" if torch.is_grad_enabled() else ", in no_grad,")
    )
    return Cut(call, file, line, linecache.getline(file, line).strip(), shape)


def gradient_report(compute: Callable[[], Tensor], model: nn.Module) -> GradientReport:
    """Report which parameters of a model a loss can train, and where the graph was cut.

    Parameters
    ----------
    compute : callable
        Computes the loss from the model, as a training step does; called once.
    model : Module
        The model; its gradients are left as they are.

    Returns
    -------
    GradientReport
        Print it, or look at `GradientReport.parameters` and `GradientReport.cuts`.

    Raises
    ------
    TypeError
        If `compute` does not return a tensor of one number.
    """
    with torch.enable_grad(), _Watch() as watch:
        loss = compute()
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(
            f"the loss must be a tensor of one number, not {type(loss).__name__} {getattr(loss, 'shape', '')}"
        )
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    gradients: tuple[Tensor | None, ...] = (None,) * len(parameters)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    norms = [float("nan") if gradient is None else _norm(gradient) for gradient in gradients]
    shapes = [tuple(parameter.shape) for parameter in parameters]
    frame = pd.DataFrame({"parameter": names, "shape": shapes, "norm": norms})
    return GradientReport(frame, tuple(watch.cuts), loss.item())


def _norm(gradient: Tensor) -> float:
    return gradient.norm().item() if gradient.isfinite().all() else float("inf")
