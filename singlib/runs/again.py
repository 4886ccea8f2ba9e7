"""A recorded cell trained again from its ``cell.json``: does it give the recorded history?"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from .. import nsynth
from ..files import read_json
from ..grid import Cell
from ..network.devices import resolve_device
from .carried import history_of
from .run_folder import RECIPE, recorded_profile
from .training import STAGES, Trainer, keep_freed_memory, machine, make_repeatable

CLOSE = 1e-4  # relative: before training, the rounding of any processor is less
TRAININGS, MORE = 2, 20  # training is chaotic: allow MORE times the largest effect of rounding in so many TRAININGS


def train_again(folder: Path, epochs: int = 3, log: Callable[[str], None] = print) -> pd.DataFrame:
    """Train the first epochs (at most) of a recorded cell's autoencoder again, and compare them with its record.

    On the same machine they are the same to the bit. Another processor rounds differently, and training amplifies it:
    Adam takes a whole step even where a gradient is all rounding. Where the losses are not `CLOSE`, the cell is trained
    a few times more with rounded gradients, to learn how much rounding explains here; on the record's own machine
    nothing is allowed for. `folder` has a ``cell.json``: a run's, or one under ``data/<profile>/cells/``.

    Returns ``epoch``, ``spectrum``, ``recorded`` and ``now`` (losses), ``difference`` (relative), and how much of it
    rounding may explain, ``allowed``. FileNotFoundError or ValueError if there is no such record, its notes are missing
    or others, its history lacks an epoch, or it is of another recipe.
    """
    folder = folder.resolve()
    try:
        facts = read_json(folder / "cell.json")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} holds no cell.json: name the folder of a recorded cell or a run") from error
    for part in ("recipe", "cell", "sizes", "profile", "data_digest", "device", "platform"):
        if part not in facts:
            raise ValueError(f"{folder / 'cell.json'} is damaged (no {part})")
    if facts["recipe"] != RECIPE:
        raise ValueError(f"{folder} is of recipe {facts['recipe']}, this singlib trains by recipe {RECIPE}")
    cell, profile = Cell(**facts["cell"]), recorded_profile(facts)
    epochs = min(epochs, profile.epochs[0])
    recorded = history_of(folder)
    recorded = recorded[recorded.stage == STAGES[0]].set_index(["epoch", "spectrum"]).loss
    if absent := sorted(set(range(epochs + 1)).difference(recorded.index.get_level_values("epoch"))):
        raise ValueError(f"the history of {folder} is damaged (no epoch {absent[0]} of the {STAGES[0]})")
    notes = nsynth.load_notes(profile.data, cell.roles)
    if notes.digest != facts["data_digest"]:
        raise ValueError(f"data/{profile.data} holds other notes than {folder} was trained on")
    where = resolve_device("cpu" if facts.get("device_type") == "cpu" else "auto")
    keep_freed_memory()
    make_repeatable(profile.threads, where)
    now = _first_epochs(Trainer(cell, profile, notes, where), epochs)
    compared = pd.DataFrame({"recorded": recorded.reindex(now.index), "now": now}).reset_index()
    compared["difference"] = (compared.now / compared.recorded - 1).abs().fillna(float("inf"))  # of NaN
    for row in compared.itertuples():
        losses = f"{row.spectrum} {row.now:.6g}, recorded {row.recorded:.6g}"
        log(f"epoch {row.epoch}  {losses} ({row.difference:.1e} apart)")
    compared["allowed"] = CLOSE
    first = facts.get("legs", [facts])[0]  # a record may have been begun on another machine
    ours = all(first.get(what, here) == here for what, here in machine(where).items())
    if (compared.difference > CLOSE).any() and not ours:
        log(f"training {TRAININGS} times more, with gradients rounded in other ways")
        differences = []
        for seed in range(TRAININGS):
            trainer = Trainer(cell, profile, notes, where)
            _round_gradients(trainer, seed)
            differences.append((_first_epochs(trainer, epochs) / now - 1).abs())
        apart = pd.concat(differences, axis=1).max(axis=1).groupby("spectrum").cummax()
        compared["allowed"] = (MORE * apart).clip(lower=CLOSE).fillna(CLOSE).to_numpy()
    return compared


def _first_epochs(trainer: Trainer, epochs: int) -> pd.Series:
    """Return the losses of the autoencoder from epoch 0 on, by epoch and spectrum."""
    optimiser = trainer.optimiser(STAGES[0])
    rows = {}
    for epoch in range(epochs + 1):
        means, _ = trainer.run_epoch(STAGES[0], epoch, optimiser)
        rows |= {(epoch, spectrum): loss for spectrum, loss in means.items()}
    return pd.Series(rows).rename_axis(["epoch", "spectrum"])


def _round_gradients(trainer: Trainer, seed: int) -> None:
    """Add noise the size of float32's rounding, relative to the largest of its tensor, to every gradient."""
    generator = torch.Generator().manual_seed(seed)

    def rounded(gradient: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(gradient.shape, generator=generator).to(gradient)
        return gradient + torch.finfo(gradient.dtype).eps * gradient.abs().max() * noise

    for weights in trainer.parameters(STAGES[0]):
        weights.register_hook(rounded)
