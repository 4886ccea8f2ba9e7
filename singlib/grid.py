"""The paper's grid of models, and the sizes to run it at.

One `Cell` is one model of Table 1: instruments x activation x training loss. A `Profile` says on
which notes and how large. ``cells("paper")`` are the 84 published models and, beside them, the MFC
and CQT models with their gradient restored, which the authors could not train.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

BRASS = ("brass1", "brass2", "brass3", "brass4", "brass5")
INSTRUMENT_SETS = {
    "keys": ("keys",),
    "mallet": ("mallet",),
    "voice": ("voice",),
    "k+m+v": ("keys", "mallet", "voice"),
    "brass1": BRASS[:1],
    "brass1-3": BRASS[:3],
    "brass1-5": BRASS,
}
ACTIVATIONS = ("ReLU", "ELU", "SELU")  # names of torch.nn; SELU is the paper's future work, outside the grid
LOSSES = ("STFT", "MFC", "CQT")
PAPER_ACTIVATIONS, PAPER_LOSSES = ("ReLU", "ELU"), ("STFT", "MFC", "CQT")  # those of Table 1, whatever is added
GRADIENTS = ("flow", "cut")


def check_choice(what: str, value: object, choices: object) -> None:
    """Raise a ValueError that names `value` and the right ones unless it is among `choices`."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(map(str, choices))}")


@dataclass(frozen=True, order=True)
class Cell:
    """One model of the grid.

    Parameters
    ----------
    instruments : str
        A key of `INSTRUMENT_SETS`, for example ``"k+m+v"``.
    activation : str
        Activation of the convolutional layers, one of `ACTIVATIONS`.
    loss : str
        Spectrum of the training loss, one of `LOSSES`; the other two are recorded as side losses.
    gradient : str
        ``"flow"``: the loss trains; ``"cut"``: as published, its gradient is lost in NumPy.
    seed : int
        Seed of the weights and of the order of the notes.
    elu_alpha : float
        The `a` of equation (2). The text prints 10, PyTorch's default is 1; see the README.

    Raises
    ------
    ValueError
        If a value is not one of the grid's; the message lists those that are.
    """

    instruments: str = "keys"
    activation: str = "ReLU"
    loss: str = "STFT"
    gradient: str = "flow"
    seed: int = 0
    elu_alpha: float = 1.0

    def __post_init__(self) -> None:
        check_choice("instruments", self.instruments, INSTRUMENT_SETS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        check_choice("gradient", self.gradient, GRADIENTS)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed {self.seed!r} is not a whole number from 0")
        if isinstance(self.elu_alpha, (str, bool)) or not self.elu_alpha > 0:
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
        """Whether Table 1 counts this model: STFT as it is, MFC and CQT cut and never for brass."""
        if self.activation not in PAPER_ACTIVATIONS or self.loss not in PAPER_LOSSES or self.elu_alpha != 1:
            return False
        if self.loss == "STFT":
            return self.gradient == "flow"
        return self.gradient == "cut" and not self.instruments.startswith("brass")


@dataclass(frozen=True)
class Profile:
    """Which notes, how large a network, and the regime. The defaults are those of the original SING code.

    The *regime* is what decides how far a model gets in its training: epochs, the notes in a batch (and so the
    updates in an epoch) and the learning rate. Curves have the paper's shape in the paper's regime: a model that
    gets four times the updates begins where the paper's ends. So every result of this package names its regime.

    Parameters
    ----------
    name : str
        Name of the folders ``runs/<name>`` and ``figures/<name>``.
    data : str
        Folder under ``data/``, a key of `singlib.nsynth.ROLES`.
    keys_models : int
        How many models of each published keys cell, seeds 0, 1, ... (the paper: 10).
    keys_corrected : int, optional
        How many of each corrected keys cell; as many as of the published ones if left out.
    stft_models : int
        How many of each STFT cell of the other sets (the paper: 1, from which nothing can be said of another).
    keys_ten : int
        How many keys models with the text's a = 10 (ELU, STFT), which are beside the paper's grid.
    channels, dimension : int
        Channels C of the convolutions and size D of a code (4,096 and 128 in the original).
    hidden, layers : int
        Units and layers of the LSTM (1,024 and 3 in the original).
    epochs : tuple of int
        Epochs of the autoencoder, the LSTM and fine-tuning (50, 50, 20 in the original).
    keys_epochs : tuple of int, optional
        Those of the keys models, which are most of the grid, where they are others; see `sized`.
    batch : int
        Notes in a batch.
    learning_rate : float
        Of Adam, in all three stages.
    eps : float
        The epsilon of equation (3).
    threads : int
        CPU threads of a cell; fixed, since they can change the last bit of a sum.
    subset : tuple of str, optional
        Names of the only cells to run.
    evidence : bool
        False stamps every figure as a demonstration.
    question : str
        What its models are to tell; the report begins with it.
    beside : str, optional
        The profile whose verdicts the report sets beside its own: the same grid in another regime.
    """

    name: str
    data: str
    keys_models: int = 10
    keys_corrected: int | None = None
    stft_models: int = 1
    keys_ten: int = 0
    channels: int = 4096
    dimension: int = 128
    hidden: int = 1024
    layers: int = 3
    epochs: tuple[int, int, int] = (50, 50, 20)
    keys_epochs: tuple[int, int, int] | None = None
    batch: int = 64
    learning_rate: float = 3e-4
    eps: float = 1.0
    threads: int = 1
    subset: tuple[str, ...] | None = None
    evidence: bool = False
    question: str = ""
    beside: str | None = None

    def sized(self, cell: Cell) -> Profile:
        """Return the profile as it is for one cell: the models of keys alone may be trained for fewer epochs."""
        own = self.keys_epochs if cell.instruments == "keys" else None
        return replace(self, epochs=own or self.epochs, keys_epochs=None)

    @property
    def regime(self) -> str:
        """The regime in a few words: ``50/50/20 epochs, batches of 16, Adam 3e-4``."""
        epochs = ["/".join(map(str, epochs)) for epochs in (self.epochs, self.keys_epochs) if epochs]
        keys = f" (keys {epochs[1]})" if len(epochs) > 1 else ""
        rate = np.format_float_scientific(self.learning_rate, trim="-", exp_digits=1)
        return f"{epochs[0]} epochs{keys}, batches of {self.batch}, Adam {rate}"

    def seeds(self, cell: Cell) -> int:
        """Return how many models of a cell's kind there are."""
        if cell.instruments != "keys":
            return self.stft_models if cell.loss == "STFT" else 1
        return self.keys_models if cell.published or self.keys_corrected is None else self.keys_corrected


PROFILES = {
    profile.name: profile
    for profile in (
        # Tests: a handful of tiny cells, seconds each.
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
        # `make paper`: the whole grid in minutes, at a sixth of the paper's epochs. Few notes are seen: small
        # batches and a high rate make the most of them (from 1.5e-3 on, some sets fall silent or diverge).
        Profile(
            name="quick",
            data="mini",
            keys_models=2,
            channels=64,
            dimension=32,
            hidden=64,
            epochs=(8, 8, 3),
            batch=4,
            learning_rate=1e-3,
            question="Does it run here?",
        ),
        # The authors' epochs and rate; a batch of 16, so that the stand-in notes give about as many updates an epoch as
        # their sets did at the original's 64. Of the sizes that two cores can train, the one at which most of the
        # statements on Figures 1, 7, 8 and 9 come out (data/recorded/README.md).
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
            beside="recorded-many-updates",
        ),
        # The first grid on real notes: four times the paper's epochs (keys: its own), and as many updates in each as
        # batches of 4 make. Its records come with the project (data/recorded-many-updates).
        Profile(
            name="recorded-many-updates",
            data="nsynth-test",
            keys_corrected=5,
            keys_ten=3,
            channels=256,
            hidden=128,
            epochs=(200, 200, 80),
            keys_epochs=(50, 50, 20),
            batch=4,
            learning_rate=5e-4,
            evidence=True,
            question="What becomes of it with many more updates than the authors made?",
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


# To listen to: models of the two sets whose models of that grid seldom find their pitch, for longer.
PROFILES["recorded-long"] = replace(
    PROFILES["recorded-many-updates"],
    name="recorded-long",
    epochs=(600, 600, 240),
    keys_epochs=None,
    subset=("keys-ReLU-STFT-flow-0", "mallet-ReLU-STFT-flow-0"),
    question="What do keys and mallet sound like after three times the updates?",
    beside=None,
)
# Tests of the way from an NSynth archive to the figures.
PROFILES["smoke-nsynth"] = replace(PROFILES["smoke"], name="smoke-nsynth", data="nsynth-test")


def profile_named(name: str) -> Profile:
    """Return the profile called `name`; ValueError with the known names otherwise."""
    check_choice("profile", name, PROFILES)
    return PROFILES[name]


def cells(profile: Profile | str) -> list[Cell]:
    """List the cells of a profile: the published ones (Table 1) first, then the corrected ones.

    Parameters
    ----------
    profile : Profile or str
        A profile or its name.

    Returns
    -------
    list of Cell
        84 published models for ``"paper"``, and 64 with the gradient of MFC and CQT restored; last, those with
        a = 10. ``"recorded"`` has more seeds of the published STFT models: 108.
    """
    profile = profile_named(profile) if isinstance(profile, str) else profile
    kinds = [
        Cell(instruments, activation, loss, gradient)
        for instruments in INSTRUMENT_SETS
        for activation in PAPER_ACTIVATIONS
        for loss in PAPER_LOSSES
        for gradient in GRADIENTS
    ]
    kinds = [kind for kind in kinds if kind.published] + [
        kind for kind in kinds if kind.gradient == "flow" and not kind.published
    ]
    every = [replace(kind, seed=seed) for kind in kinds for seed in range(profile.seeds(kind))]
    every += [Cell("keys", "ELU", seed=seed, elu_alpha=10) for seed in range(profile.keys_ten)]
    return [cell for cell in every if profile.subset is None or cell.name in profile.subset]
