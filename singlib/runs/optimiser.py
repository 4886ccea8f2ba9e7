"""What moves the weights of a stage: Adam, or Muon for those that are matrices, at a rate that may rise and fall."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..grid import Profile

MOMENTUM = 0.95  # of Muon
RMS = 0.2  # of the elements of Muon's updates, times the rate; Adam's are to be as large on the weights beside them
# Of the odd polynomial that takes singular values to 1: as steep at 0 as it can be, so that few steps are enough.
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return a matrix with its singular values, but the smallest, taken to 0.7 to 1.2 (Newton-Schulz iteration)."""
    wide = matrix.T if len(matrix) > len(matrix.T) else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if len(matrix) > len(matrix.T) else wide


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` in the precision of the weights, with Nesterov's momentum and without weight decay.

    PyTorch's own orthogonalises in bfloat16, for which most CPUs have no instructions: an update of this network that
    takes 0.1 s here takes 3 s there on a processor without AVX-512. K. Jordan et al., "Muon: an optimizer for hidden
    layers in neural networks", 2024; updates are scaled as in J. Liu et al., "Muon is scalable for LLM training", 2025.
    """

    def __init__(self, matrices: list[Tensor], rate: float) -> None:
        super().__init__(matrices, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:
        """Make an update."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonalise(matrix.grad.lerp(momentum, MOMENTUM))
                matrix.sub_(update, alpha=group["lr"] * RMS * math.sqrt(max(matrix.shape)))


class Optimiser:
    """The optimiser of one stage; its rate and what it averages follow from the number of updates alone.

    Muon takes matrices: the weights of linear layers and LSTMs (whose four gates are one matrix), and those of
    convolutions as ``(out, in * kernel)``. Adam takes the biases, and the embeddings: a batch has gradients for the
    rows of its own notes alone, and Muon, which gives all directions of a matrix the same weight, would move the others
    as far.

    Parameters
    ----------
    module : nn.Module
        What the stage trains.
    profile : Profile
        Optimiser, learning rate, schedule, average.
    stage : int
        0 to 2.
    epoch_updates : int
        Updates in an epoch.
    made : int
        How many updates the stage has behind it.
    """

    def __init__(self, module: nn.Module, profile: Profile, stage: int, epoch_updates: int, made: int = 0) -> None:
        self.module, self.profile, self.made = module, profile, made
        self.total = profile.epochs[stage] * epoch_updates
        self.averaged_from = self.total - profile.averaged_epochs * epoch_updates
        self.average = AveragedModel(module) if profile.averaged_epochs else None
        name, rate = profile.optimiser, profile.rates[stage]
        embeddings = {part.weight for part in module.modules() if isinstance(part, nn.Embedding)}
        of_muon = {weight for weight in module.parameters() if name == "muon" and weight.ndim > 1} - embeddings
        self.weights = [weight for weight in module.parameters() if weight in of_muon]
        self.matrices = [weight.detach().view(len(weight), -1) for weight in self.weights]  # the same memory
        others = [weight for weight in module.parameters() if weight not in of_muon]
        adam = torch.optim.Adam(others, RMS * rate if self.matrices else rate, fused=True)
        self.parts: dict[str, torch.optim.Optimizer] = {"optimiser": adam}  # by their names in a checkpoint
        if self.matrices:
            self.parts["muon"] = Muon(self.matrices, rate)
        self.highest = {name: part.param_groups[0]["lr"] for name, part in self.parts.items()}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.module.zero_grad()

    def step(self) -> None:
        """Make an update."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for name, part in self.parts.items():
            part.param_groups[0]["lr"] = self.highest[name] * self.share()
            part.step()
        self.made += 1
        if self.average and self.made > self.averaged_from:
            self.average.update_parameters(self.module)

    def share(self) -> float:
        """Return the rate of the next update, in parts of the highest."""
        warm_up = self.profile.warm_up
        if self.made < warm_up:
            return (self.made + 1) / warm_up
        if self.profile.schedule == "constant":
            return 1
        return (1 + math.cos(math.pi * (self.made - warm_up) / max(1, self.total - warm_up))) / 2

    def finish(self) -> None:
        """Put the averaged weights in place of the last, where the profile asks for an average."""
        if self.average and self.average.n_averaged:
            self.module.load_state_dict(self.average.module.state_dict())

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        kept = {f"average.{key}": value for key, value in self.average.state_dict().items()} if self.average else {}
        for name, part in self.parts.items():
            for place, state in part.state_dict()["state"].items():
                kept |= {f"{name}.{place}.{key}": value for key, value in state.items()}
        return kept

    def restore(self, kept: dict[str, Tensor]) -> None:
        """Take back `tensors` from among those of a checkpoint."""
        for name, part in self.parts.items():
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in kept.items():
                if key.startswith(f"{name}."):
                    _, place, what = key.split(".")
                    states.setdefault(int(place), {})[what] = value
            part.load_state_dict(part.state_dict() | {"state": states})
        if self.average:
            average = {key.removeprefix("average."): value for key, value in kept.items() if key.startswith("average.")}
            self.average.load_state_dict(average)
