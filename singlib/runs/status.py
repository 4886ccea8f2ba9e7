"""How far a grid is: what is done, running, failed, stale or missing, and when it will end.

Read from what cells leave on disk, so that it can be asked anywhere while the grid runs.
"""

import heapq
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from ..files import held, read_json
from ..grid import LOSSES, PAPER_ACTIVATIONS, PAPER_LOSSES, STAGES, Profile, cells
from . import carried
from .records import describe
from .run_folder import Run

# "recorded": not run here, but its records come with the project.
STATES = ("done", "running", "failed", "stale", "ungraded", "begun", "damaged", "recorded", "missing")
STARTING = 10.0  # seconds of a cell beside its training: its kernel starts, imports, draws


def cell_states(profile: Profile) -> pd.DataFrame:
    """List every cell of a profile: columns of `singlib.runs.records.describe`, ``state``, ``detail`` and ``seconds``.

    ``state`` is one of `STATES`; ``detail`` the epoch and estimated end, the error, what changed, or the damaged file;
    ``seconds`` what the cell took or is expected to take. Without the profile's notes, records on disk are taken to be
    of them.
    """
    on_record = {cell.name for cell in carried.fresh_cells(profile)}
    states = [_state(Run(cell, profile), on_record) for cell in cells(profile)]
    known = pd.DataFrame(states, columns=["state", "detail", "seconds"])
    frame = pd.DataFrame([describe(cell) for cell in cells(profile)]).join(known)
    # A cell that is not done is expected to take as long as others of its kind.
    for like in (["instruments", "training_loss"], ["instruments"], []):
        expected = frame.groupby(like).seconds.transform("mean") if like else frame.seconds.mean()
        frame["seconds"] = frame.seconds.fillna(expected)
    return frame


def _state(run: Run, on_record: set[str]) -> tuple[str, str, float]:
    """Return state, detail, and the seconds that the cell took or will take, NaN if these are not known."""
    state, unknown = run.state(), float("nan")
    if held(run.lock):
        return "running", _pace(run), unknown
    if state == "done":
        return state, "", _seconds(run.folder)
    if failure := _failure(run.failure_file):
        return "failed", failure, unknown
    if state == "ungraded":
        return state, "", STARTING  # trained: its notes are graded again
    if state == "missing" and run.cell.name in on_record:
        return "recorded", "", _seconds(carried.folder(run.profile) / "cells" / run.cell.name)
    return state, run.stale_because() if state == "stale" else run.damage(), unknown


def _seconds(folder: Path) -> float:
    """Return what a cell took by its folder's cell.json; NaN if that does not say."""
    try:
        return sum(read_json(folder / "cell.json")["seconds"].values()) + STARTING
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return float("nan")


def _failure(file: Path) -> str:
    """Return why the last attempt failed; empty if it did not."""
    try:
        failure = read_json(file)
        return f"{failure['error']} ({failure['host']}, {failure['at']})"
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError):
        return f"why cannot be read: {file} is damaged"


def epochs_made(run: Run) -> tuple[int, int]:
    """Return how many epochs of a run are in its checkpoint, and how many it has; evaluations before a stage count."""
    stages = dict(zip(STAGES, run.profile.epochs, strict=True))
    names, total = list(stages), sum(stages.values()) + len(stages)
    about = _checkpoint(run)
    if not about:
        return 0, total
    before = names.index(about["stage"])
    return sum(stages[name] + 1 for name in names[:before]) + about["epoch"] + 1, total


def _checkpoint(run: Run) -> dict | None:
    """Return what the checkpoint says of itself, None if there is none that the run resumes from."""
    try:
        about = run.progress()
    except ValueError:
        about = None
    return about if about and about["signature"] == run.signature else None


def _pace(run: Run) -> str:
    """Return the epoch of a running cell, and when it will end at its pace."""
    about = _checkpoint(run)
    if not about:
        return "starting"  # or finishing
    made, total = epochs_made(run)
    end = datetime.now() + timedelta(seconds=(total - made) * sum(about["seconds"].values()) / made)
    last = run.profile.epochs[STAGES.index(about["stage"])]
    return f"{about['stage']} {about['epoch']}/{last}, ends about {end:%H:%M}"


def _counts(rows: pd.DataFrame) -> str:
    counts = rows.state.value_counts()
    return ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts)


def summary(profile: Profile, states: pd.DataFrame | None = None) -> str:
    """Return in Markdown how many cells are in each state, and a line for each that is running, failed or not usable.

    Entries of Table 1 count the published cells, and after a plus the others. `states` are `cell_states`, if at hand.
    """
    states = cell_states(profile) if states is None else states
    entries = {}
    for (loss, activation, instruments), rows in states.groupby(["training_loss", "activation", "instruments"]):
        parts = [rows[rows.published], rows[~rows.published]]
        entries[instruments, f"{loss} {activation}"] = " + ".join(_counts(part) for part in parts if len(part))
    losses = [loss for loss in LOSSES if loss in PAPER_LOSSES or loss in set(states.training_loss)]
    columns = [f"{loss} {activation}" for loss in losses for activation in PAPER_ACTIVATIONS]
    table = pd.Series(entries).unstack(fill_value="–")
    table = table.reindex(index=states.instruments.unique(), columns=columns, fill_value="–")
    head = f"{profile.name}: {_counts(states)}; in the table the published models + the others"
    lines = [head, "", table.to_markdown(), ""]
    special = states[states.state.isin(["running", "failed", "stale", "damaged"])]
    return "\n".join([*lines, *(f"- {row.cell} {row.state}: {row.detail}" for row in special.itertuples())])


def plan(profile: Profile, names: list[str], workers: int) -> str:
    """Say what running some cells would do, and how long it would take: ``--dry-run``."""
    states = cell_states(profile).query("cell in @names")
    lines = [f"{row.cell:30} {row.state:8} {row.detail}".rstrip() for row in states.itertuples()]
    finished = {cell.name for cell in cells(profile) if cell.name in names and Run(cell, profile).is_finished()}
    todo = states[~states.cell.isin(finished) & (states.state != "running")]
    if todo.empty:
        return "\n".join([*lines, "nothing would run"])
    workers = min(workers, len(todo))
    known = not todo.seconds.isna().any()
    estimate = f"about {timedelta(seconds=round(_span(todo.seconds, workers)))}" if known else "no time is recorded yet"
    if n := todo.state.eq("recorded").sum():
        estimate += f"; {n} of them come with the project and would be trained anew"
    return "\n".join([*lines, f"{len(todo)} cells would run, {workers} at a time: {estimate}"])


def _span(seconds: Iterable[float], workers: int) -> float:
    """Return when the last cell ends, the longest first, each on the worker that is free first."""
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
