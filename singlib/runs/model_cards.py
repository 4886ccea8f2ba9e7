"""Models that come with the project to be played: weights in 16 bits, each with a card."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from ..files import naming_damage, project_folder, read_json, read_table, replacing, write_text
from ..grading.grades import SCORES, heard_in_tune, model_grade
from ..grid import Cell
from ..network.generation import HUB_WEIGHTS, load_model, models
from ..nsynth import SOURCES
from .run_folder import COLUMNS, Run, recorded_profile

NOT_FOR = (
    "Pitches outside its range, velocities between the five, notes longer than four seconds: it has never heard them. "
    "Pitches and velocities in its range that were none of its notes: it plays them, not always in tune. "
    "Instruments it was not trained on: there is one embedding for each instrument, and none for a new one. "
    "Music as it is played: every note begins and ends alone. "
)
POOR = "Listening: by its grade its notes are not the instrument's."


def publish(run: Run) -> Path:
    """Write a finished run's model to come with the project: ``<cell>.safetensors`` in 16 bits, and its card.

    They go to ``data/<profile>/models``; returns the weights file. ValueError if the run is not finished or a
    weight is beyond half precision.
    """
    if run.state() != "done":
        raise ValueError(f"{run.cell.name} of {run.profile.name} is {run.state()}: only a finished run has a model")
    with safe_open(run.weights_file, "numpy") as file:
        about = file.metadata()["about"]
        names = list(file.keys())
        with np.errstate(over="ignore"):  # infinite weights are named below
            halves = {name: file.get_tensor(name).astype(np.float16) for name in names}
    beyond = [name for name, weights in halves.items() if not np.isfinite(weights).all()]
    if beyond:
        raise ValueError(f"{run.cell.name}: {', '.join(beyond)} has weights beyond half precision (65,504)")
    target = project_folder() / "data" / run.profile.name / "models" / f"{run.cell.name}.safetensors"
    with replacing(target) as beside:
        save_file(halves, beside, metadata={"about": about})
    write_text(target.with_suffix(".md"), card(run.folder))
    return target


def card(folder: Path) -> str:
    """Return the card of the model of a finished run, by its folder, in Markdown: data, losses, grade, provenance.

    FileNotFoundError or ValueError names a file that is gone or damaged.
    """
    facts = read_json(folder / "cell.json")
    with naming_damage(folder / "cell.json", KeyError, TypeError):
        cell, profile = Cell(**facts["cell"]), recorded_profile(facts)
    model = load_model(folder)
    history, quality = (read_table(folder / f"{name}.csv", COLUMNS[name]) for name in ("history", "quality"))
    last = history[history.stage == "fine-tuning"].groupby("spectrum", sort=False).loss.last()
    in_tune = heard_in_tune(quality)
    ranges = []
    for role in model.roles:
        pitches = model.pitches(role)
        low, high = pitches[0], pitches[-1]
        ranges.append(f"{role} (MIDI {low} to {high}, {len(pitches)} of these {high - low + 1} pitches trained)")
    bad = SCORES[model_grade(list(quality.grade)).grade] < SCORES["+"]
    lines = [
        f"# {cell.name}",
        f"SING: {cell.activation}, {cell.loss} loss (gradient {cell.gradient}), seed {cell.seed}; "
        f"C {profile.channels}, D {profile.dimension}, LSTM {profile.layers} x {profile.hidden}, {profile.regime}.",
        f"**Plays** {', '.join(ranges)}, at velocities 25, 50, 75, 100 and 127: four seconds at 16 kHz.",
        f"**Trained on** {sum(map(len, model.notes.values()))} notes of {SOURCES[profile.data]}. "
        "Weights are under the licence of the project; notes made with them name their data.",
        "**Losses** after the last epoch, as trained: "
        + ", ".join(f"{name} {loss:.4g}" for name, loss in last.items()),
        f"**Grade** {model_grade(list(quality.grade))}, over {len(quality)} of these notes, evenly chosen; in tune "
        f"are {100 * in_tune.mean():.0f} % of the {len(in_tune)} in the pitch tracker's range.",
        f"**Not good for.** {NOT_FOR}{POOR if bad else ''}".strip(),
        f"**Made** {facts['finished']} on {facts['device']}, {sum(facts['seconds'].values()):.0f} s, singlib "
        f"{facts['singlib']}, torch {facts['packages']['torch']}; data digest {facts['data_digest'][:16]}. In 16 "
        "bits; the records are of the full weights.",
    ]
    return "\n\n".join(lines) + "\n"


def card_of(weights: Path) -> str:
    """Return the card of a model by its weights: the one beside them, or a finished run's.

    ValueError if it has none: weights without a card are not passed on.
    """
    beside = weights.parent / "README.md" if weights.name == HUB_WEIGHTS else weights.with_suffix(".md")
    if beside.is_file():
        return re.sub(r"\A---\n.*?\n---\n+", "", beside.read_text(encoding="utf-8"), flags=re.S)
    if not (weights.parent / "cell.json").is_file():
        raise ValueError(f"{weights} has no card: {beside.name} beside it would be one, or the files of its run")
    return card(weights.parent)


def graded_notes(weights: Path) -> pd.DataFrame:
    """Return the rows of the quality table of a model's notes; none where its weights lie alone.

    ValueError names a damaged table.
    """
    for table, cell in (
        (weights.parent / "quality.csv", weights.parent.name),
        (weights.parents[1] / "quality.parquet", weights.stem),
    ):
        if table.is_file():
            rows = read_table(table, COLUMNS["quality"])
            return rows[rows.cell == cell] if "cell" in rows else rows
    return pd.DataFrame(columns=sorted(COLUMNS["quality"]))


def at_hand() -> pd.DataFrame:
    """List `models`: their name, set of instruments, grade, share of their notes in tune, and size on disk.

    Where a model has no grades, or they cannot be read, its grade and share are "?".
    """
    rows = []
    for name, weights in models().items():
        try:
            notes = graded_notes(weights)
        except (OSError, ValueError):
            notes = pd.DataFrame()
        in_tune = heard_in_tune(notes) if len(notes) else ()
        size = weights.stat().st_size / 1e6 if weights.is_file() else float("nan")
        rows.append(
            {
                "model": name,
                "set": name.split("/")[-1].rsplit("-", 4)[0],
                "grade": str(model_grade(list(notes.grade))) if len(notes) else "?",
                "in tune": f"{in_tune.mean():.0%}" if len(in_tune) else "?",
                "size": f"{size:.1f} MB",
            }
        )
    if not rows:
        raise ValueError("no model is at hand: train some with `singlib run --profile quick`")
    return pd.DataFrame(rows)
