"""Small experiments beside the grid: each is trained and graded once, kept when it is finished, and joined to a table.

For scripts such as ``data/recorded-best/study.py``. What is done is kept under ``parts/<table>/`` beside the script and
joined to ``<table>.parquet``; run again, a study goes on with what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import nsynth
from ..files import locked, replacing
from ..grading.grades import grade
from ..grid import Cell, Profile
from ..network import sing
from .run_folder import recipe
from .training import STAGES, Trainer, device_name, keep_freed_memory, make_repeatable

DEVICE = torch.device("cpu")
Rows = list[dict]
Experiment = Callable[[str], dict[str, Rows]]


def run(folder: Path, table: str, experiments: Mapping[str, object], train: Experiment, about: str) -> None:
    """Train what is missing of some experiments, as many at a time as ``--workers`` says, and join what is there.

    One that fails does not stop the others. ValueError names those that failed, and, before anything is trained, those
    on record that were made with other settings; ConnectionError if the process of one was killed.

    Parameters
    ----------
    folder : Path
        Where the tables lie.
    table : str
        The table that has a row of every finished experiment, with its name in a column ``experiment``, what it was
        made with in ``signature``, and what it cost in seconds of the CPU in ``experiment_seconds``.
    experiments : mapping
        Name, which is that of a file too and has no slash, -> all that its result depends on but for the notes
        (`settings`); in the order of training.
    train : callable
        Takes a name and returns the rows of each table; a function of a module, which other processes can import.
    about : str
        For ``--help``.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--workers", type=int, default=1, help="experiments at a time")
    workers = parser.parse_args().workers
    made = {name: signature(made_with) for name, made_with in experiments.items()}
    done = _done(folder, table)
    others = [name for name in made if done.get(name, made[name]) != made[name]]
    if others:
        raise ValueError(
            f"{folder / table}.parquet has {len(others)} experiments of other settings than this script's "
            f"({others[0]} is one): move it and {folder / 'parts' / table} away to train them anew"
        )
    failed = []
    context = multiprocessing.get_context("spawn")  # a process each: what an experiment changes ends with it
    with ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        futures = {
            pool.submit(_keep, folder, table, train, name, made[name]): name for name in made if name not in done
        }
        for future in as_completed(futures):
            try:
                future.result()
            except BrokenProcessPool as error:
                raise ConnectionError("a training was killed; run this again: what is finished is kept") from error
            except Exception as error:  # of this experiment alone
                failed.append(f"{futures[future]} ({error})")
                print(f"{futures[future]} failed: {error}", file=sys.stderr, flush=True)
            _join(folder)
    if failed:
        raise ValueError(f"{len(failed)} of {len(made)} experiments failed: {', '.join(failed)}")


def signature(made_with: object) -> str:
    """Return what tells settings from others."""
    return hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:16]


def settings(cell: Cell, profile: Profile, **more: object) -> dict:
    """Return all that the result of a cell depends on, but for the notes, for `run`; add `GRADING` if it is graded."""
    return recipe(cell, profile, "") | more


def _join(folder: Path) -> None:
    """Join the parts of each table, so that what is finished can be committed while the rest is trained."""
    with locked(folder / "parts" / ".join.lock", "another command joins the tables, waiting"):
        for name in {path.parent.name for path in folder.glob("parts/*/*.parquet")}:
            table = folder / f"{name}.parquet"
            parts = {path.stem: pd.read_parquet(path) for path in sorted((folder / "parts" / name).glob("*.parquet"))}
            before = [pd.read_parquet(table)] if table.is_file() else []
            before = [rows[~rows.experiment.isin(parts)] for rows in before]  # a part goes before what was joined of it
            with replacing(table) as beside:
                pd.concat([*before, *parts.values()]).to_parquet(beside, index=False, compression="zstd")


def _files(folder: Path, table: str) -> list[Path]:
    """Return the files of a table: of the experiments finished before it was joined, and of those since."""
    joined = folder / f"{table}.parquet"
    return [path for path in [joined] if path.is_file()] + sorted((folder / "parts" / table).glob("*.parquet"))


def _done(folder: Path, table: str) -> dict[str, str]:
    """Return the signatures of the experiments that are on record, by name."""
    parts = [pd.read_parquet(path, columns=["experiment", "signature"]) for path in _files(folder, table)]
    return {name: signature for part in parts for name, signature in part.drop_duplicates().itertuples(index=False)}


def _keep(folder: Path, table: str, train: Experiment, name: str, signature: str) -> None:
    """Train an experiment and keep its rows, those of `table` last, since they say that it is done.

    While another command trains it, wait; what that has finished is not trained again.
    """
    with locked(folder / "parts" / table / f"{name}.lock", f"{name}: another command trains it, waiting"):
        if name in _done(folder, table):
            return
        begun = time.process_time()
        tables = train(name)
        seconds = time.process_time() - begun
        for other in sorted(tables, key=lambda other: other == table):
            about = {"experiment": name, "signature": signature}
            about |= {"experiment_seconds": seconds} if other == table else {}
            with replacing(folder / "parts" / other / f"{name}.parquet") as beside:
                pd.DataFrame(tables[other]).assign(**about).to_parquet(beside, index=False)
    print(f"{name}: {seconds:.0f} s", flush=True)


def prepare(threads: int) -> dict[str, str]:
    """Make this process's numbers the same each time; return the facts that every row should carry."""
    keep_freed_memory()
    make_repeatable(threads, DEVICE)
    return {"device": device_name(DEVICE), "platform": platform.platform(), "torch": torch.__version__}


def watch_nothing_else(trainer: Trainer) -> None:
    """Leave out the losses that are only watched, which cost time; what is trained is the same to the bit."""
    for name in set(trainer.losses) - {trainer.cell.loss, "STFT"}:
        del trainer.losses[name]


def train_stage(trainer: Trainer, stage: str, after: Callable[[dict[str, float]], None] | None = None) -> Rows:
    """Train a stage, calling `after` with the mean losses of each epoch; return the losses of every epoch."""
    losses: Rows = []
    optimiser = trainer.optimiser(stage)
    if stage == "lstm":
        trainer.encode()
    for epoch in range(trainer.profile.epochs[STAGES.index(stage)] + 1):
        means, _ = trainer.run_epoch(stage, epoch, optimiser)
        losses += [{"stage": stage, "epoch": epoch, "spectrum": name, "loss": loss} for name, loss in means.items()]
        if after is not None:
            after(means)
    optimiser.finish()
    return losses


@torch.no_grad()
def grade_notes(trainer: Trainer, notes: nsynth.Notes, labels: Iterable[nsynth.Label], rebuilt: bool = False) -> Rows:
    """Grade some of `notes` as the model plays them or, if `rebuilt`, as the autoencoder rebuilds them."""
    names, rows = notes.labels(), []
    for label in labels:
        place = names.index(label)
        if rebuilt:
            output = trainer.autoencoder(sing.pad(torch.from_numpy(notes.waveforms[place : place + 1])))
        else:
            numbers = (notes.instrument[place], notes.pitch[place], notes.velocity[place])
            output = trainer.sing(*(torch.tensor([number]) for number in numbers))
        waveform = sing.trim(output)[0].numpy()
        waveform = waveform / max(1, np.abs(waveform).max())  # as it is written to a file
        rows.append(label._asdict() | grade(waveform, notes.waveforms[place], label.pitch))
    return rows
