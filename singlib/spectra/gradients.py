"""Where a gradient is lost: which parameters a loss reaches, and the line that cut the rest off.

The authors' MFC and CQT losses went through NumPy; ``backward()`` ran without an error and trained nothing.
"""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cut:
    """A call, outside torch, that took a tensor with a gradient and returned one without."""

    call: str  # for example "Tensor.detach"
    file: str
    line: int
    code: str
    shape: tuple[int, ...]  # of the tensor that lost its gradient

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}: {self.code}  ({self.call} of a tensor {self.shape})"


class Parameter(NamedTuple):
    """A parameter of a model, and what a loss does for it."""

    name: str
    shape: tuple[int, ...]
    norm: float  # of its gradient: NaN where none arrives, infinite where it is not finite
    frozen: bool  # whether requires_grad is False


@dataclass(frozen=True)
class GradientReport:
    """What a loss does for the parameters of a model; print it.

    Attributes
    ----------
    parameters : tuple of Parameter
        In the order of the model; ``pandas.DataFrame(report.parameters)`` makes a table of them.
    cuts : tuple of Cut
        The calls that left the graph, in order. A cut alone is no fault (a detached target): it is one where
        parameters get no gradient.
    flat : tuple of Cut
        Likewise, the calls whose slope is zero nearly everywhere (`round`, `sign`).
    loss : float
        The value of the loss.
    """

    parameters: tuple[Parameter, ...]
    cuts: tuple[Cut, ...]
    flat: tuple[Cut, ...]
    loss: float

    def _named(self, test: Callable[[float], bool]) -> list[str]:
        return [one.name for one in self.parameters if test(one.norm) and not one.frozen]

    @property
    def lost(self) -> list[str]:
        """Names of the parameters that no gradient reaches."""
        return self._named(math.isnan)

    @property
    def zero(self) -> list[str]:
        """Names of the parameters whose gradient is zero in every element."""
        return self._named(lambda norm: norm == 0)

    @property
    def not_finite(self) -> list[str]:
        """Names of the parameters whose gradient has an element that is infinite or not a number."""
        return self._named(math.isinf)

    def __str__(self) -> str:
        frozen = sum(one.frozen for one in self.parameters)
        count = len(self.parameters) - frozen
        faults = []
        if self.not_finite:
            faults.append(f"the gradient of {', '.join(self.not_finite)} is not finite")
        if self.lost and len(self.lost) == count:
            faults.append(f"none of the {count} parameters gets a gradient: this loss trains nothing")
        elif self.lost:
            faults.append(f"{len(self.lost)} of {count} parameters get no gradient: {', '.join(self.lost)}")
        if self.zero and len(self.zero) == count:
            faults.append(f"the gradient of all {count} parameters is zero: this loss trains nothing")
        elif self.zero:
            faults.append(f"the gradient of {len(self.zero)} of {count} parameters is zero: {', '.join(self.zero)}")
        if not count:
            faults.append("no parameter asks for a gradient")
        verdict = "; ".join(faults) or f"all {count} parameters get a gradient"
        if frozen:
            verdict += f"; {frozen} {'is' if frozen == 1 else 'are'} frozen (requires_grad is False)"
        lines = [f"loss {self.loss:.4g}; {verdict}"]
        if self.lost:
            lines += _places("the graph was cut at", self.cuts) or ["no call cut it: they take no part in the loss"]
        if self.zero:
            lines += _places("the slope is zero at", self.flat) or [
                "no call is flat by itself: look for a factor of 0, a clamp beyond its bounds, dead units"
            ]
        return "\n".join(lines)


def _places(lead: str, cuts: tuple[Cut, ...]) -> list[str]:
    """Return `lead` and a line for each place, once for a line in a loop."""
    return [lead, *dict.fromkeys(f"  {cut}" for cut in cuts)] if cuts else []


class _Watch(TorchFunctionMode):
    """Note every call that takes a tensor of the graph and returns values outside it, or flat ones."""

    # They only inspect a tensor; nobody expects a gradient of them.
    HARMLESS = ("__get__", "size", "dim", "stride", "numel", "is_", "__len__", "__repr__", "__format__")

    FLAT = ("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside", "floor_divide")

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[Cut] = []
        self.flat: list[Cut] = []

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        output = func(*args, **(kwargs or {}))
        entered = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.requires_grad]
        name = "data" if getattr(func, "__self__", None) is Tensor.data else func.__name__
        if entered and name.rstrip("_") in self.FLAT and not _in_a_function_of_its_own():
            self.flat.append(_cut(name, tuple(entered[0].shape)))
        if entered and not any(getattr(leaf, "requires_grad", False) for leaf in _leaves(output)):
            values = isinstance(output, (Tensor, np.ndarray, float, list)) and getattr(output, "dtype", 0) != torch.bool
            if values and not name.startswith(self.HARMLESS) and not _in_a_function_of_its_own():
                self.cuts.append(_cut(name, tuple(entered[0].shape)))
        return output


def _leaves(arguments: object) -> Iterator[object]:
    """Yield the leaves of nested lists, tuples and dictionaries."""
    if isinstance(arguments, (list, tuple, dict)):
        for part in arguments.values() if isinstance(arguments, dict) else arguments:
            yield from _leaves(part)
    else:
        yield arguments


def _in_a_function_of_its_own() -> bool:
    """Say whether we are inside the forward of a torch.autograd.Function, which has its own backward."""
    frame = None if torch.is_grad_enabled() else sys._getframe(2)
    while frame and frame.f_code is not torch.autograd.Function.apply.__func__.__code__:
        frame = frame.f_back
    return frame is not None


def _cut(name: str, shape: tuple[int, ...]) -> Cut:
    frame, torch_itself = sys._getframe(2), Path(torch.__file__).parent
    while frame.f_back and torch_itself in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    call = ("Tensor." if hasattr(Tensor, name) else "torch.") + name
    call += "" if torch.is_grad_enabled() else ", in no_grad,"
    return Cut(call, file, line, linecache.getline(file, line).strip(), shape)


def gradient_report(compute: Callable[[], Tensor], model: nn.Module) -> GradientReport:
    """Report which parameters of a model a loss can train, and where the graph was cut.

    Parameters
    ----------
    compute : callable
        Computes the loss from the model, as a training step does; called once.
    model : Module
        Its gradients are left as they are.

    Raises
    ------
    TypeError
        If `compute` does not return a tensor of one number.

    Examples
    --------
    >>> print(gradient_report(lambda: loss(model(inputs), target), model))
    """
    with torch.enable_grad(), _Watch() as watch:
        loss = compute()
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = getattr(loss, "shape", "")
        raise TypeError(f"the loss must be a tensor of one number, not {type(loss).__name__} {shape}")
    named = dict(model.named_parameters())
    asking = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    gradients: dict[str, Tensor | None] = {}
    if loss.requires_grad and asking:
        found = torch.autograd.grad(loss, list(asking.values()), allow_unused=True)
        gradients = dict(zip(asking, found, strict=True))
    parameters = tuple(
        Parameter(name, tuple(parameter.shape), _norm(gradients.get(name)), name not in asking)
        for name, parameter in named.items()
    )
    return GradientReport(parameters, tuple(watch.cuts), tuple(watch.flat), loss.item())


def _norm(gradient: Tensor | None) -> float:
    if gradient is None:
        return float("nan")
    gradient = gradient.coalesce().values() if gradient.is_sparse else gradient
    return gradient.norm().item() if gradient.isfinite().all() else float("inf")


def follow_gradient(steps: Mapping[str, Tensor | np.ndarray]) -> pd.DataFrame:
    """Follow the gradient from the last of some steps, and list which of them it reaches; needs pandas.

    The ``grad`` of the tensors is left as it is.

    Parameters
    ----------
    steps : mapping
        Name -> what a loss was computed through, in order: a weight of the network first, the loss last.

    Returns
    -------
    DataFrame
        A row for each step: ``type``, ``shape``, ``made by`` (the function of the graph) and the norm of the
        ``gradient`` that arrived, to one digit.
    """
    import pandas as pd  # half a second that a loss alone does not need

    tensors = {name: value for name, value in steps.items() if isinstance(value, Tensor)}
    *_, loss = tensors.values()
    asked = {name: value for name, value in tensors.items() if value.requires_grad} if loss.requires_grad else {}
    found = torch.autograd.grad(loss, list(asked.values()), allow_unused=True) if asked else ()
    arrived = {name: gradient for name, gradient in zip(asked, found, strict=True) if gradient is not None}
    rows = []
    for name, value in steps.items():
        tensor = name in tensors
        made = value.grad_fn.name().removesuffix("0") if tensor and value.grad_fn else "a leaf" if tensor else "-"
        norm = f"{arrived[name].norm().item():.1g}" if name in arrived else "none"
        rows.append((name, type(value).__name__, tuple(value.shape), made, norm))
    return pd.DataFrame(rows, columns=["step", "type", "shape", "made by", "gradient"]).set_index("step")
