"""The paper's grid of models, and the sizes to run it at.

A `Cell` is one model of Table 1: instruments, activation, training loss. A `Profile` says on which notes and how large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

BRASS = ("brass1", "brass2", "brass3", "brass4", "brass5")
INSTRUMENT_SETS = {name: (name,) for name in ("keys", "mallet", "voice")} | {
    "k+m+v": ("keys", "mallet", "voice"),
    "brass1": BRASS[:1],
    "brass1-3": BRASS[:3],
    "brass1-5": BRASS,
}
BRASS_SETS = ("brass1", "brass1-3", "brass1-5")
# Names in torch.nn; outside the paper's grid are SELU, its future work, and the smooth ones that came into use since.
ACTIVATIONS = ("ReLU", "ELU", "SELU", "GELU", "SiLU")
LOSSES = ("STFT", "MFC", "CQT", "MRSTFT")  # MRSTFT, of several frame sizes, is outside the paper's grid
PAPER_ACTIVATIONS, PAPER_LOSSES = ("ReLU", "ELU"), ("STFT", "MFC", "CQT")  # those of Table 1, whatever is added
STAGES = ("autoencoder", "lstm", "fine-tuning")  # of a cell's training
GRADIENTS = ("flow", "cut")
OPTIMISERS = ("adam", "muon")
SCHEDULES = ("constant", "cosine")


def check_choice(what: str, value: object, choices: object) -> None:
    """Raise a ValueError that names `value` and the right ones unless it is among `choices`."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(map(str, choices))}")


@dataclass(frozen=True, order=True)
class Cell:
    """One model of the grid; ValueError, with the values to choose from, for one that is not of the grid."""

    instruments: str = "keys"  # a key of INSTRUMENT_SETS
    activation: str = "ReLU"  # of the convolutional layers, one of ACTIVATIONS
    loss: str = "STFT"  # spectrum of the training loss; the paper's other losses are recorded as side losses
    gradient: str = "flow"  # "cut": as published, the gradient is lost in NumPy
    seed: int = 0  # of the weights and of the order of the notes
    elu_alpha: float = 1.0  # the a of equation (2): the paper prints 10, PyTorch's default is 1

    def __post_init__(self) -> None:
        check_choice("instruments", self.instruments, INSTRUMENT_SETS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        check_choice("gradient", self.gradient, GRADIENTS)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise ValueError(f"seed {self.seed!r} is not a whole number from 0 to 2^32 - 1")
        number = isinstance(self.elu_alpha, (int, float)) and not isinstance(self.elu_alpha, bool)
        if not number or not 0 < self.elu_alpha < math.inf:
            raise ValueError(f"elu_alpha {self.elu_alpha!r} is not a number above 0")
        if self.activation != "ELU" and self.elu_alpha != 1:
            raise ValueError(f"elu_alpha {self.elu_alpha:g} has no meaning with activation {self.activation}")
        object.__setattr__(self, "elu_alpha", float(self.elu_alpha))  # papermill passes 10 as an int

    @property
    def roles(self) -> tuple[str, ...]:
        """The instruments of the set, by role."""
        return INSTRUMENT_SETS[self.instruments]

    @property
    def name(self) -> str:
        """Name of the run folder: ``keys-ELU-CQT-flow-0``."""
        activation = self.activation if self.elu_alpha == 1 else f"{self.activation}{self.elu_alpha:g}"
        return f"{self.instruments}-{activation}-{self.loss}-{self.gradient}-{self.seed}"

    @property
    def published(self) -> bool:
        """Whether Table 1 counts this model: STFT, or MFC and CQT with their gradient cut (and never of brass)."""
        if self.activation not in PAPER_ACTIVATIONS or self.loss not in PAPER_LOSSES or self.elu_alpha != 1:
            return False
        if self.loss == "STFT":
            return self.gradient == "flow"
        return self.gradient == "cut" and not self.instruments.startswith("brass")


@dataclass(frozen=True)
class Profile:
    """Which notes, how large a network, and the regime. The defaults are those of the original SING code.

    The *regime* decides how far a model gets in its training: epochs, notes in a batch (and so updates in an epoch),
    optimiser and learning rate. Curves have the paper's shape in the paper's regime only: a model that gets four times
    the updates begins where the paper's ends. So every result of this package names its regime.
    """

    name: str  # of the folders runs/<name> and figures/<name>
    data: str  # folder under data/, a key of nsynth.ROLES
    keys_models: int = 10  # of each published keys cell, seeds 0, 1, ... (the paper: 10)
    keys_corrected: int | None = None  # of each corrected keys cell; None: as many as of the published ones
    stft_models: int = 1  # of each STFT cell of the other sets (the paper: 1, which says nothing of the next)
    keys_ten: int = 0  # keys models with the paper's a = 10 (ELU, STFT), outside its grid
    # Of each activation, by set, trained on the MRSTFT, outside the paper's grid.
    mrstft_models: Mapping[str, int] = field(default_factory=dict)
    cut: bool = True  # whether there are models of MFC and CQT as published, their gradient cut
    channels: int = 4096  # C, of the convolutions
    dimension: int = 128  # D, of a code
    hidden: int = 1024  # units of the LSTM
    layers: int = 3  # of the LSTM
    epochs: tuple[int, int, int] = (50, 50, 20)  # autoencoder, LSTM, fine-tuning
    own_epochs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)  # of some sets, if others; see `sized`
    batch: int = 64  # notes
    optimiser: str = "adam"  # one of OPTIMISERS
    learning_rate: float | tuple[float, float, float] = 3e-4  # the highest, or one for each stage
    warm_up: int = 0  # updates at the start of each stage over which the rate rises to `learning_rate`
    own_warm_up: Mapping[str, int] = field(default_factory=dict)  # of some sets, if another; see `sized`
    schedule: str = "constant"  # or "cosine": from there the rate falls to 0 at the end of the stage
    averaged_epochs: int = 0  # at the end of a stage, weights become their mean over the updates of so many last epochs
    bfloat16: bool = False  # whether products of encoder and decoder are in bfloat16 while they are trained
    eps: float = 1.0  # of equation (3)
    threads: int = 1  # CPU threads of a cell; fixed, since they can change the last bit of a sum
    subset: tuple[str, ...] | None = None  # names of the only cells to run
    evidence: bool = False  # False stamps every figure as a demonstration
    question: str = ""  # what its models are to answer; the report begins with it
    beside: str | None = None  # the same grid in another regime, whose verdicts the report sets beside these

    def __post_init__(self) -> None:
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in [*self.own_epochs, *self.own_warm_up, *self.mrstft_models]:
            check_choice("instruments", name, INSTRUMENT_SETS)
        if len(self.rates) != len(STAGES):
            wanted = f"one number, or one for each of the {len(STAGES)} stages"
            raise ValueError(f"learning_rate {self.learning_rate!r} is not {wanted}")

    def sized(self, cell: Cell) -> Profile:
        """Return the profile with the epochs and the warm-up of one cell: some sets may have their own."""
        epochs = self.own_epochs.get(cell.instruments, self.epochs)
        warm_up = self.own_warm_up.get(cell.instruments, self.warm_up)
        return replace(self, epochs=epochs, own_epochs={}, warm_up=warm_up, own_warm_up={})

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rate of each stage."""
        return self.learning_rate if isinstance(self.learning_rate, tuple) else (self.learning_rate,) * len(STAGES)

    @property
    def regime(self) -> str:
        """The regime in words: ``50/50/20 epochs (keys 20/20/8), batches of 16, Adam 3e-4``."""
        from numpy import format_float_scientific  # a tenth of a second, which help on a command does not need

        own: dict[tuple[int, int, int], list[str]] = {}
        for name, epochs in self.own_epochs.items():
            own.setdefault(epochs, []).append(name)
        others = "; ".join(f"{', '.join(names)} {'/'.join(map(str, epochs))}" for epochs, names in own.items())
        rates = [format_float_scientific(rate, trim="-", exp_digits=1) for rate in self.rates]
        words = ["/".join(map(str, self.epochs)) + " epochs" + f" ({others})" * bool(own), f"batches of {self.batch}"]
        words.append(f"{self.optimiser.capitalize()} {rates[0] if len(set(rates)) == 1 else '/'.join(rates)}")
        if self.warm_up or self.own_warm_up:
            own_updates = ", ".join(f"{name} {updates}" for name, updates in self.own_warm_up.items())
            words.append(f"warmed up over {self.warm_up} updates" + f" ({own_updates})" * bool(own_updates))
        if self.schedule == "cosine":
            words.append("falling to 0 as a cosine")
        if self.averaged_epochs:
            words.append(f"weights averaged over the last {self.averaged_epochs} epochs")
        if self.bfloat16:
            words.append("products in bfloat16")
        return ", ".join(words)

    def seeds(self, cell: Cell) -> int:
        """Return how many models of a cell's kind there are."""
        if cell.gradient == "cut" and not self.cut:
            return 0
        if cell.loss == "MRSTFT":
            return self.mrstft_models.get(cell.instruments, 0)
        if cell.instruments != "keys":
            return self.stft_models if cell.loss == "STFT" else 1
        return self.keys_models if cell.published or self.keys_corrected is None else self.keys_corrected


PROFILES = {
    profile.name: profile
    for profile in (
        # For tests: a handful of tiny cells, seconds each.
        Profile(
            name="smoke",
            data="mini",
            keys_models=1,
            channels=16,
            dimension=8,
            hidden=16,
            layers=2,
            epochs=(2, 2, 1),
            batch=8,
            learning_rate=2e-3,
            subset=(
                "keys-ReLU-STFT-flow-0",
                "keys-ELU-STFT-flow-0",
                "keys-ReLU-MFC-cut-0",
                "keys-ReLU-CQT-cut-0",
                "keys-ELU-CQT-flow-0",
                "brass1-ReLU-STFT-flow-0",
            ),
        ),
        # `make paper`: the whole grid in minutes, at an eighth of the paper's epochs. Small batches and a high rate
        # make the most of few notes (from 1.5e-3 on, some sets fall silent or diverge).
        Profile(
            name="quick",
            data="mini",
            keys_models=2,
            channels=64,
            dimension=32,
            hidden=64,
            epochs=(6, 6, 2),
            batch=4,
            learning_rate=1e-3,
            question="Does it run here?",
        ),
        # The authors' epochs and rate; with batches of 16, stand-ins give about as many updates an epoch as their sets
        # did with 64. Of the sizes that two cores can train, the one at which most of the statements on Figures 1, 7, 8
        # and 9 come out (data/recorded/README.md).
        Profile(
            name="recorded",
            data="nsynth-test",
            keys_corrected=5,
            stft_models=3,
            keys_ten=3,
            channels=512,
            hidden=128,
            batch=16,
            evidence=True,
            question="Do we see what the authors saw when we do what they did?",
            beside="recorded-best",
        ),
        # A smaller network trained until it sounds good, at the same cost for all that are compared. The recipe is the
        # one that data/recorded-best/study.py chose. The smallest sets get as many updates as brass1-3, keys and
        # mallet as many as k+m+v: with 50/35/30 epochs a keys model had 42 % of its notes in tune. Mallet notes are
        # mostly silence: warmed up over 25 updates, two of three ReLU models fell silent by the seventh epoch.
        Profile(
            name="recorded-best",
            data="nsynth-test",
            keys_models=5,
            keys_corrected=1,
            stft_models=3,
            mrstft_models=dict.fromkeys(INSTRUMENT_SETS, 1) | {"keys": 3, "brass1-3": 3},
            cut=False,
            channels=256,
            hidden=128,
            epochs=(50, 35, 30),
            own_epochs=dict.fromkeys(("voice", "brass1"), (250, 175, 150))
            | dict.fromkeys(("keys", "mallet"), (110, 77, 66)),
            batch=16,
            optimiser="muon",
            learning_rate=5e-3,
            warm_up=25,
            own_warm_up={"mallet": 200},
            schedule="cosine",
            evidence=True,
            question="Which loss and activation makes the best instrument?",
            beside="recorded",
        ),
        # The paper's instruments at the original's size; needs CUDA.
        Profile(
            name="paper",
            data="nsynth-train",
            threads=4,
            evidence=True,
            question="Do we see what the authors saw, on their instruments and at the original's size?",
        ),
    )
}


# For tests of the path from an NSynth archive to the figures.
PROFILES["smoke-nsynth"] = replace(
    PROFILES["smoke"],
    name="smoke-nsynth",
    data="nsynth-test",
    subset=("keys-ReLU-STFT-flow-0", "brass1-ReLU-STFT-flow-0"),
)


def profile_named(name: str) -> Profile:
    """Return the profile called `name`; ValueError with the known names otherwise."""
    check_choice("profile", name, PROFILES)
    return PROFILES[name]


def cells(profile: Profile | str) -> list[Cell]:
    """List the cells of a profile or its name: the published (84 in ``"paper"``), the corrected, and what is ours.

    The corrected ones are MFC and CQT with their gradient restored, which the authors could not train. Ours are trained
    on the MRSTFT, or have the paper's a = 10.
    """
    profile = profile_named(profile) if isinstance(profile, str) else profile
    kinds = [
        Cell(instruments, activation, loss, gradient)
        for instruments in INSTRUMENT_SETS
        for activation in PAPER_ACTIVATIONS
        for loss in LOSSES
        for gradient in GRADIENTS
    ]
    kinds = sorted(
        (kind for kind in kinds if kind.published or kind.gradient == "flow"), key=lambda kind: not kind.published
    )
    every = [replace(kind, seed=seed) for kind in kinds for seed in range(profile.seeds(kind))]
    every += [Cell("keys", "ELU", seed=seed, elu_alpha=10) for seed in range(profile.keys_ten)]
    return [cell for cell in every if profile.subset is None or cell.name in profile.subset]
