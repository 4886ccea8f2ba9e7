"""A recorded cell run again from its ``cell.json``: does it give the recorded history?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd

from . import nsynth
from .carried import history_of
from .grid import Cell, Profile
from .runs import RECIPE
from .stages import STAGES, Trainer
from .training import keep_freed_memory, make_repeatable, resolve_device

CLOSE = 1e-4  # relative: machines round differently, and training makes more of it


def again(folder: Path, epochs: int = 3, device: str = "auto", log: Callable[[str], None] = print) -> pd.DataFrame:
    """Train the first epochs of a recorded cell again, and set them beside the record.

    Parameters
    ----------
    folder : Path
        With ``cell.json``: a run's, or one under ``data/<profile>/cells/``.
    epochs : int
        How many of the autoencoder, at most; epoch 0, before training, comes with them.
    device : str
        ``"auto"``, or a device of torch.
    log : callable
        Gets a line for each epoch.

    Returns
    -------
    DataFrame
        ``epoch``, ``spectrum``, ``recorded`` and ``now`` (losses), ``difference`` (relative).

    Raises
    ------
    FileNotFoundError
        If there is no such record, or its notes are missing.
    ValueError
        If the notes or the recipe are others than those of the record.
    """
    facts = json.loads((folder / "cell.json").read_text())
    cell = Cell(**facts["cell"])
    known = {field.name for field in fields(Profile)}
    sizes = {key: tuple(v) if isinstance(v, list) else v for key, v in facts["sizes"].items() if key in known}
    profile = Profile(name=facts["profile"], **sizes)
    if facts["recipe"] != RECIPE:
        raise ValueError(f"{folder} is of recipe {facts['recipe']}, this singlib trains by recipe {RECIPE}")
    notes = nsynth.load_notes(profile.data, cell.roles)
    if notes.digest != facts["data_digest"]:
        raise ValueError(f"data/{profile.data} holds other notes than {folder} was trained on")
    where = resolve_device(device)
    keep_freed_memory()
    make_repeatable(profile.threads, where)
    trainer = Trainer(cell, profile, notes, where)
    optimiser = trainer.optimiser(STAGES[0])
    recorded = history_of(folder)
    recorded = recorded[recorded.stage == STAGES[0]].set_index(["epoch", "spectrum"]).loss
    rows = []
    for epoch in range(min(epochs, profile.epochs[0]) + 1):
        means, _ = trainer.run_epoch(STAGES[0], epoch, optimiser)
        for spectrum, loss in means.items():
            was = recorded[epoch, spectrum]
            row = {
                "epoch": epoch,
                "spectrum": spectrum,
                "recorded": was,
                "now": loss,
                "difference": abs(loss / was - 1),
            }
            rows.append(row)
            log(f"epoch {epoch}  {spectrum} {loss:.6g}, recorded {was:.6g} ({row['difference']:.1e} apart)")
    return pd.DataFrame(rows)
