"""Tables 1-3 of the paper, from the grid, the data and the records, with the paper's numbers beside ours."""

from __future__ import annotations

import math
from itertools import product

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown, display

from .. import nsynth
from ..grid import INSTRUMENT_SETS, PAPER_ACTIVATIONS, PROFILES, Cell, cells
from ..nsynth import selection
from ..runs.records import Records
from ..runs.run_folder import GRADING
from . import table3
from .figures import STAMP, output_folder, save_markdown, save_picture

PAPER = PROFILES["paper"]
CAPTIONS = {
    1: "Number of calculated models and training samples for different combinations of instruments, "
    "training losses and activation functions",
    2: "Training data instruments with their pitch range, the number of training samples and generated samples",
    3: "Perceived quality of the generated samples for each model",
}


def overview(records: Records) -> Markdown:
    """Return in Markdown what the profile asks, its regime beside the paper's, and how many models are finished."""
    profile = records.profile
    planned = len(cells(profile))
    lines = [f"**{part}**" for part in (records.nothing(), profile.question) if part]
    lines += [
        f"Profile **{profile.name}**: {planned - len(records.missing)} of {planned} models finished. A *regime* is "
        f"what decides how far a model gets in its training, and all numbers here, but those of experiments beside the "
        "grid, are of this one: "
        f"**{profile.regime}** (epochs of autoencoder, LSTM and fine-tuning). The paper's, after the original code: "
        f"{PAPER.regime}.",
        f"The network has C {profile.channels}, D {profile.dimension}, LSTM {profile.layers} x {profile.hidden} (the "
        f"original C {PAPER.channels}, D {PAPER.dimension}, LSTM {PAPER.layers} x {PAPER.hidden}).",
    ]
    if profile.data != "nsynth-train":
        counts = selection.counts(profile.data)
        compared = ", ".join(f"{role} {count} ({nsynth.TABLE2[role].notes})" for role, count in counts.items())
        lines.append(f"**Not the paper's notes**, but {nsynth.SOURCES[profile.data]}. Notes here (paper): {compared}.")
        updates = ", ".join(
            f"{name} {math.ceil(sum(counts[role] for role in roles) / profile.batch)} "
            f"({math.ceil(sum(nsynth.TABLE2[role].notes for role in roles) / PAPER.batch)})"
            for name, roles in INSTRUMENT_SETS.items()
        )
        lines.append(f"Updates in an epoch of the autoencoder, here (paper): {updates}.")
    if count := len(records.carried):
        lines.append(f"{count} of the records are those that come with the project (data/{profile.name}).")
    grading = records.about.get("grading", pd.Series(dtype=int))
    if older := (grading < GRADING).sum():
        lines.append(
            f"The grades of {older} models are of version {grading.min()}; grades are now of version {GRADING}, which "
            "hears how loud a note is."
        )
    if not profile.evidence:
        lines.append(f"**A {STAMP}**: too small and too short to judge the paper by.")
    return Markdown("\n\n".join(lines))


def table_1(records: Records) -> pd.DataFrame:
    """Count models: the paper's, and in brackets ours on record, the corrected ones after a plus.

    Returns
    -------
    DataFrame
        A row for each instrument set: models by loss and activation ("0 of 10" where some are missing), samples here
        and in the paper.
    """
    done = set(records.history.get("cell", []))
    counts = selection.counts(records.profile.data)

    def count(kind: list[Cell]) -> str:
        have = sum(cell.name in done for cell in kind)
        return "" if not kind else str(have) if have == len(kind) else f"{have} of {len(kind)}"

    rows = []
    for instruments, roles in INSTRUMENT_SETS.items():
        row: dict[str, object] = {"instr.": instruments}
        for loss, activation in product(table3.losses(records.grid), PAPER_ACTIVATIONS):
            kind = table3.entry(records.grid, instruments, loss, activation)
            theirs = sum(cell.published for cell in table3.entry(cells(PAPER), instruments, loss, activation))
            ours = count([cell for cell in kind if cell.published])
            if corrected := count([cell for cell in kind if not cell.published]):
                ours += f" + {corrected}"
            row[f"{loss}/{activation}"] = f"{theirs or '–'} ({ours.strip()})"
        row["sampl."] = sum(counts[role] for role in roles)
        row["sampl. (paper)"] = sum(nsynth.TABLE2[role].notes for role in roles)
        rows.append(row)
    return pd.DataFrame(rows).set_index("instr.")


def instruments(data: str) -> pd.DataFrame:
    """List the eight instruments: name, MIDI pitch range, training and generated samples, here and in the paper.

    Derived from what is on disk; where that is not what the paper had, the samples say what is missing.
    """
    try:
        here = selection.labels(data)
    except FileNotFoundError:
        here = []
    wanted = nsynth.paper_notes(data) or {}
    rows = []
    for role, paper in nsynth.TABLE2.items():
        labels = [label for label in here if label.role == role]
        pitches = [label.pitch for label in labels]
        missing = [name for name, label in wanted.items() if label.role == role and label not in labels]
        samples: int | str = len(labels)
        if not labels:
            samples = f"missing: make data SPLIT={data.removeprefix('nsynth-')}"
        elif missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            samples = f"{len(labels)}, missing: {', '.join(missing[:3])}{more}"
        rows.append(
            {
                "role": role,
                "instrument": nsynth.ROLES[data][role],
                "MIDI pitches": f"{min(pitches)}-{max(pitches)}" if labels else "–",
                "sampl.": samples,
                "gen. sampl.": len(selection.notes_to_generate(data, role)) if labels else "–",
                "instrument (paper)": paper.name,
                "MIDI pitches (paper)": f"{paper.lowest}-{paper.highest}",
                "sampl. (paper)": paper.notes,
                "gen. sampl. (paper)": paper.generated,
            }
        )
    return pd.DataFrame(rows).set_index("role")


def why(number: int, records: Records) -> str:
    """Say why a table differs from the paper's, where it does; of Table 3, how far sources grade in the same order."""
    data = records.profile.data
    if number == 1:
        text = (
            "The paper's models; in brackets those on record here, after a plus those whose MFC or CQT loss has its "
            "gradient, which the paper could not train."
        )
        if data != "nsynth-train":
            text += f" Samples are those of data/{data}, not of the paper's instruments."
        return text
    if number == 2:
        text = (
            "The paper's pitch ranges are those of NSynth's metadata, which give its counts of samples (its own table "
            "prints some an octave off). Its counts of generated samples follow no rule that could be found: the same "
            "share of the samples is generated, evenly over pitch and velocity."
        )
        return text if data == "nsynth-train" else f"{text} data/{data} has other instruments, and fewer notes."
    return table3.say_taus(records)


@plt.style.context("default")
def save(number: int, records: Records) -> str:
    """Save a table as CSV and Markdown under ``figures/<profile>/``, Table 3 as a picture too; return the Markdown."""
    frame = {1: table_1, 2: lambda of: instruments(of.profile.data), 3: table3.table}[number](records)
    path = output_folder(records.profile) / f"table{number}"
    frame.to_csv(path.with_suffix(".csv"))
    if number == 3:
        save_picture(table3.draw(records), path, "png", "svg", dpi=150)
        frame = frame.rename(index=table3.source_name, level="grade")
    text = f"**Table {number}.** {CAPTIONS[number]}.\n\n{frame.reset_index().to_markdown(index=False)}\n"
    return save_markdown(f"{text}\n{why(number, records)}\n", path, records.profile)


def show(number: int, records: Records) -> None:
    """Save a table (see `save`) and display it with its caption."""
    text = f'<a id="table-{number}"></a>{save(number, records)}'
    if number != 3:
        display(Markdown(text))
        return
    caption, _, note = text.split("\n\n", 2)
    display(Markdown(caption), HTML(table3.in_html(table3.table(records))), Markdown(note))
