"""Tables 1-3 of the paper, from the grid, the data and the records, with the paper's numbers beside ours."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown, display

from . import nsynth
from .figures import STAMP, output_folder
from .grid import INSTRUMENT_SETS, PAPER_ACTIVATIONS, PAPER_LOSSES, cells
from .quality import GRADES
from .records import Records

CAPTIONS = {
    1: "Number of calculated models and training samples for different combinations of instruments, "
    "training losses and activation functions",
    2: "Training data instruments with their pitch range, the number of training samples and generated samples",
    3: "Perceived quality of the generated samples for each model",
}

# The authors' grades, Table 3, in the columns STFT, CQT, MFC x ReLU, ELU. They print "-" for brass with
# CQT and MFC too, although Table 1 says that those models were never calculated.
PAPER_GRADES = {
    "keys": ("+", "-/o", "-", "-", "-", "-"),
    "mallet": ("+", "-", "-", "-", "-", "-"),
    "voice": ("o/+", "-/o", "-", "-", "-", "-"),
    "k+m+v": ("++", "o", "-", "-", "-", "-"),
    "brass1": ("o/+", "-", "-", "-", "-", "-"),
    "brass1-3": ("++", "++", "-", "-", "-", "-"),
    "brass1-5": ("++", "+", "-", "-", "-", "-"),
}
_COLUMNS = [(loss, activation) for loss in ("STFT", "CQT", "MFC") for activation in PAPER_ACTIVATIONS]


def overview(records: Records) -> Markdown:
    """Return the profile's sizes and how many of its models are finished, in Markdown."""
    profile = records.profile
    planned = len(cells(profile))
    epochs = "/".join(map(str, profile.epochs))
    text = (
        f"Profile **{profile.name}**: {planned - len(records.missing)} of {planned} models finished, "
        f"on data/{profile.data}. C {profile.channels}, D {profile.dimension}, "
        f"LSTM {profile.layers} x {profile.hidden}, batch {profile.batch}, "
        f"Adam {profile.learning_rate:g}, {epochs} epochs of autoencoder, LSTM and fine-tuning "
        f"(the paper's code: C 4096, D 128, LSTM 3 x 1024, batch 64, Adam 0.0003, 50/50/20)."
    )
    if not profile.evidence:
        text += f" **A {STAMP}**: too small and too short to judge the paper by."
    return Markdown(text)


def table_1(records: Records) -> pd.DataFrame:
    """Count models on record: published ones, corrected ones in brackets; missing ones as "0 of 10".

    Parameters
    ----------
    records : Records
        Of one profile.

    Returns
    -------
    DataFrame
        A row for each instrument set: models by loss and activation, samples here and in the paper.
    """
    done = set(records.history.get("cell", []))
    rows = []
    for instruments, roles in INSTRUMENT_SETS.items():
        row: dict[str, object] = {"instr.": instruments}
        for loss in PAPER_LOSSES:
            for activation in PAPER_ACTIVATIONS:
                kind = [
                    c for c in records.grid if (c.instruments, c.loss, c.activation) == (instruments, loss, activation)
                ]
                published = _count([c.name for c in kind if c.published], done)
                corrected = _count([c.name for c in kind if not c.published], done)
                row[f"{loss}/{activation}"] = published + (f" (+{corrected})" if corrected != "–" else "")
        row["sampl."] = sum(len(nsynth.select(records.profile.data, (role,))) for role in roles)
        row["sampl. (paper)"] = sum(nsynth.TABLE2[role].notes for role in roles)
        rows.append(row)
    return pd.DataFrame(rows).set_index("instr.")


def _count(names: list[str], done: set[str]) -> str:
    have = len(done.intersection(names))
    if not names:
        return "–"
    return str(have) if have == len(names) else f"{have} of {len(names)}"


def table_2(records: Records) -> pd.DataFrame:
    """List the instruments of the profile's data: see `instruments`."""
    return instruments(records.profile.data)


def instruments(data: str) -> pd.DataFrame:
    """List the eight instruments: name, MIDI pitch range, training and generated samples, here and in the paper.

    Derived from what is on disk; where that is not what the paper had, the samples say what is missing.
    """
    try:
        found = list(nsynth.index(data))
    except FileNotFoundError:
        found = []
    wanted = nsynth.paper_notes(data) or {}
    rows = []
    for role, paper in nsynth.TABLE2.items():
        labels = [label for label in found if label.role == role]
        pitches = [label.pitch for label in labels]
        missing = [name for name, label in wanted.items() if label.role == role and label not in labels]
        rows.append(
            {
                "role": role,
                "instrument": nsynth.ROLES[data][role],
                "MIDI pitches": f"{min(pitches)}-{max(pitches)}" if labels else "–",
                "sampl.": _samples(data, len(labels), missing),
                "gen. sampl.": len(nsynth.notes_to_generate(data, role)) if labels else "–",
                "instrument (paper)": paper.name,
                "MIDI pitches (paper)": f"{paper.lowest}-{paper.highest}",
                "sampl. (paper)": paper.notes,
                "gen. sampl. (paper)": paper.generated,
            }
        )
    return pd.DataFrame(rows).set_index("role")


def _samples(data: str, count: int, missing: list[str]) -> int | str:
    if not count:
        return f"missing: make data SPLIT={data.removeprefix('nsynth-')}"
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return f"{count}, missing: {', '.join(missing[:3])}{more}"
    return count


def table_3(records: Records) -> pd.DataFrame:
    """Grade every entry: the median grade over the notes of its models.

    Returns
    -------
    DataFrame
        For each instrument set three rows: the authors' ears, ours as published, ours corrected.
        Entries that were never calculated are "–", those without finished records "missing".
    """
    rows = []
    for instruments, grades in PAPER_GRADES.items():
        paper = dict(zip(_COLUMNS, grades, strict=True))
        for which in ("paper", "published", "corrected"):
            row: dict[str, str] = {"instr.": instruments, "grade": which}
            for loss, activation in _COLUMNS:
                kind = [
                    c.name
                    for c in records.grid
                    if (c.instruments, c.loss, c.activation) == (instruments, loss, activation)
                    and (c.published if which == "published" else c.gradient == "flow")
                ]
                column = f"{loss}/{activation}"
                row[column] = paper[loss, activation] if which == "paper" else median_grade(records, kind)
            rows.append(row)
    return pd.DataFrame(rows).set_index(["instr.", "grade"])


def median_grade(records: Records, names: list[str]) -> str:
    """Return the median grade of the notes of some models; "–" for none planned, "missing" for none done."""
    if not names:
        return "–"
    quality = records.quality
    grades = quality.grade[quality.cell.isin(names)] if len(quality) else ()
    if not len(grades):
        return "missing"
    places = sorted(GRADES.index(grade) for grade in grades)
    return GRADES[places[(len(places) - 1) // 2]]


def show(number: int, records: Records) -> None:
    """Save a table as CSV and Markdown under ``figures/<profile>/`` and display it with its caption."""
    frame = (table_1, table_2, table_3)[number - 1](records)
    text = f"**Table {number}.** {CAPTIONS[number]}.\n\n{frame.reset_index().to_markdown(index=False)}\n"
    if not records.profile.evidence:
        text += f"\n*{records.profile.name}: {STAMP}*\n"
    path = output_folder(records.profile) / f"table{number}"
    frame.to_csv(path.with_suffix(".csv"))
    path.with_suffix(".md").write_text(text)
    display(Markdown(text))
