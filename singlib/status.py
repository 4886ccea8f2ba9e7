"""How far a grid is: what is done, runs, failed, is stale or missing, and when it will end.

Reads what the cells leave on disk, so that it can be asked from anywhere, while the grid runs.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta

import pandas as pd
from IPython.display import Markdown, display

from .files import held
from .grid import PAPER_ACTIVATIONS, PAPER_LOSSES, Profile, cells
from .records import describe
from .runs import Run

STATES = ("done", "running", "failed", "stale", "ungraded", "begun", "damaged", "missing")
STARTING = 10.0  # seconds of a cell that are no training: its kernel starts, imports, draws


def cell_states(profile: Profile) -> pd.DataFrame:
    """List every cell of a profile: state, why, and the seconds it took or is expected to take.

    Returns
    -------
    DataFrame
        Columns of `singlib.records.describe`, ``state`` (of `STATES`), ``detail`` (epoch and estimated end
        of those that run, the error of those that failed, what changed of the stale) and ``seconds``.
    """
    unknown = {"detail": "", "seconds": float("nan")}
    frame = pd.DataFrame([describe(cell) | unknown | _state(Run(cell, profile)) for cell in cells(profile)])
    # What is not done yet takes as long as its like did.
    for like in (["instruments", "training_loss"], ["instruments"], []):
        known = frame.groupby(like).seconds.transform("mean") if like else frame.seconds.mean()
        frame["seconds"] = frame.seconds.fillna(known)
    return frame


def _state(run: Run) -> dict:
    state = run.state()
    if held(run.lock):
        return {"state": "running", "detail": _pace(run)}
    if state == "done":
        about = json.loads((run.folder / "cell.json").read_text())
        return {"state": "done", "seconds": sum(about["seconds"].values()) + STARTING}
    if run.failure_file.is_file():
        failure = json.loads(run.failure_file.read_text())
        return {"state": "failed", "detail": f"{failure['error']} ({failure['host']}, {failure['at']})"}
    if state == "stale":
        return {"state": "stale", "detail": run.stale_because()}
    if state == "ungraded":
        return {"state": state, "seconds": STARTING}  # trained: its notes are graded again
    return {"state": state}


def _pace(run: Run) -> str:
    """Return the epoch a running cell is at, and when it will end at its pace."""
    try:
        about = run.progress()
    except (ValueError, FileNotFoundError):  # replaced or finished just now
        about = None
    if not about or about["signature"] != run.signature:
        return "starting"
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
    seconds = todo.seconds.sum() / workers
    estimate = "no time is recorded yet" if todo.seconds.isna().any() else f"about {timedelta(seconds=round(seconds))}"
    return "\n".join([*lines, f"{len(todo)} cells would run, {workers} at a time: {estimate}"])


def watch(profile: Profile, every: float = 5.0) -> None:
    """Show the summary in a notebook and keep it up to date until no cell runs."""
    handle = display(Markdown(summary(profile)), display_id=True)
    while (states := cell_states(profile)).state.eq("running").any():
        handle.update(Markdown(summary(profile, states)))
        time.sleep(every)
    handle.update(Markdown(summary(profile, states)))
