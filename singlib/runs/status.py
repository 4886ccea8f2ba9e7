"""How far a grid is: what is done, runs, failed, is stale or missing, and when it will end.

Reads what the cells leave on disk, so that it can be asked from anywhere, while the grid runs.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from ..files import held, read_json
from ..grid import PAPER_ACTIVATIONS, PAPER_LOSSES, Profile, cells
from . import recorded
from .records import describe
from .run_folder import Run

# "recorded": not run here, but its records come with the project (`singlib.runs.recorded`); the others are a run's.
STATES = ("done", "running", "failed", "stale", "ungraded", "begun", "damaged", "recorded", "missing")
STARTING = 10.0  # seconds of a cell that are no training: its kernel starts, imports, draws


def cell_states(profile: Profile) -> pd.DataFrame:
    """List every cell of a profile: state, why, and the seconds it took or is expected to take.

    Returns
    -------
    DataFrame
        Columns of `singlib.runs.records.describe`, ``state`` (of `STATES`), ``detail`` (epoch and estimated end
        of those that run, the error of those that failed, what changed of the stale, the damaged file) and
        ``seconds``. Without the profile's notes, records on disk are taken to be of them.
    """
    carried_here = {cell.name for cell in recorded.fresh(profile)}
    unknown = {"detail": "", "seconds": float("nan")}
    frame = pd.DataFrame(
        [describe(cell) | unknown | _state(Run(cell, profile), carried_here) for cell in cells(profile)]
    )
    # What is not done yet takes as long as its like did.
    for like in (["instruments", "training_loss"], ["instruments"], []):
        known = frame.groupby(like).seconds.transform("mean") if like else frame.seconds.mean()
        frame["seconds"] = frame.seconds.fillna(known)
    return frame


def _state(run: Run, recorded: set[str]) -> dict:
    state = run.state()
    if held(run.lock):
        return {"state": "running", "detail": _pace(run)}
    if state == "done":
        return {"state": state, "seconds": _seconds(run.folder)}
    failed = _failure(run.failure_file)
    if failed:
        return {"state": "failed", "detail": failed}
    if state == "stale":
        return {"state": state, "detail": run.stale_because()}
    if state == "damaged":
        return {"state": state, "detail": run.damage()}
    if state == "ungraded":
        return {"state": state, "seconds": STARTING}  # trained: its notes are graded again
    if state == "missing" and run.cell.name in recorded:
        return {"state": "recorded", "seconds": _seconds(recorded.cell_folder(run.profile, run.cell.name))}
    return {"state": state}


def _seconds(folder: Path) -> float:
    """Return how long the cell took whose cell.json is in a folder; not a number if it does not say so."""
    try:
        return sum(read_json(folder / "cell.json")["seconds"].values()) + STARTING
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return float("nan")


def _failure(file: Path) -> str:
    """Return why the last attempt failed; nothing if it did not."""
    try:
        failure = read_json(file)
        return f"{failure['error']} ({failure['host']}, {failure['at']})"
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError):
        return f"why is not to be read: {file} is damaged"


def _pace(run: Run) -> str:
    """Return the epoch a running cell is at, and when it will end at its pace."""
    try:
        about = run.progress()
    except ValueError:
        about = None
    if not about or about["signature"] != run.signature:
        return "starting"  # or finishing
    stages = dict(zip(("autoencoder", "lstm", "fine-tuning"), run.profile.epochs, strict=True))
    names = list(stages)
    before = names.index(about["stage"])
    made = sum(stages[name] + 1 for name in names[:before]) + about["epoch"] + 1
    left = sum(stages.values()) + len(stages) - made
    end = datetime.now() + timedelta(seconds=left * sum(about["seconds"].values()) / made)
    return f"{about['stage']} {about['epoch']}/{stages[about['stage']]}, ends about {end:%H:%M}"


def table(profile: Profile, states: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return Table 1 with the number of cells in each state: published ones, and others after a plus."""
    states = cell_states(profile) if states is None else states
    columns = {}
    for loss in PAPER_LOSSES:
        for activation in PAPER_ACTIVATIONS:
            entry = {}
            for instruments, rows in states[(states.training_loss == loss) & (states.activation == activation)].groupby(
                "instruments", sort=False
            ):
                parts = [rows[rows.published], rows[~rows.published]]
                entry[instruments] = " + ".join(_counts(part) for part in parts if len(part))
            columns[f"{loss} {activation}"] = entry
    return pd.DataFrame(columns, dtype=object).fillna("–")


def _counts(rows: pd.DataFrame) -> str:
    counts = rows.state.value_counts()
    return ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts)


def summary(profile: Profile, states: pd.DataFrame | None = None) -> str:
    """Return the table and a line for each cell that runs, failed or is stale, in Markdown."""
    states = cell_states(profile) if states is None else states
    lines = [f"{profile.name}: {_counts(states)}", "", table(profile, states).to_markdown(), ""]
    told = states[states.state.isin(["running", "failed", "stale", "damaged"])]
    lines += [f"- {row.cell} {row.state}: {row.detail}" for row in told.itertuples()]
    return "\n".join(lines)


def plan(profile: Profile, names: list[str], workers: int) -> str:
    """Return what a run of some cells would do, with an estimate from recorded times: ``--dry-run``."""
    states = cell_states(profile)
    states = states[states.cell.isin(names)]
    lines = [f"{row.cell:30} {row.state:8} {row.detail}".rstrip() for row in states.itertuples()]
    todo = states[~states.state.isin(["done", "running"])]
    if todo.empty:
        return "\n".join([*lines, "nothing would run"])
    workers = min(workers, len(todo))
    known = not todo.seconds.isna().any()
    estimate = f"about {timedelta(seconds=round(_span(todo.seconds, workers)))}" if known else "no time is recorded yet"
    return "\n".join([*lines, f"{len(todo)} cells would run, {workers} at a time: {estimate}"])


def _span(seconds: Iterable[float], workers: int) -> float:
    """Return when the last of some cells ends, the longest first, each on the worker that is free first."""
    free = [0.0] * workers
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def watch(profile: Profile, every: float = 5.0) -> None:
    """Show the summary in a notebook and keep it up to date until no cell runs."""
    handle = display(Markdown(summary(profile)), display_id=True)
    while (states := cell_states(profile)).state.eq("running").any():
        handle.update(Markdown(summary(profile, states)))
        time.sleep(every)
    handle.update(Markdown(summary(profile, states)))
