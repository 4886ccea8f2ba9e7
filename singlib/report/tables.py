"""Tables 1-3 of the paper, from the grid, the data and the records, with the paper's numbers beside ours."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, SVG, Markdown, display
from matplotlib.figure import Figure

from .. import nsynth
from ..files import write_text
from ..grading.grades import GRADES, SCORES, ModelGrade, model_grade
from ..grid import INSTRUMENT_SETS, PAPER_ACTIVATIONS, PAPER_LOSSES, PROFILES, Cell, cells
from ..listening import blind_test
from ..nsynth import selection
from ..runs.records import Records
from ..runs.run_folder import GRADING
from .figures import STAMP, output_folder

PAPER = PROFILES["paper"]
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
NOT_CALCULATED, MISSING = "not calculated", "missing"


class Source(NamedTuple):
    """Who gave a grade of Table 3: the name in the report, and how it is drawn (Okabe and Ito's colours)."""

    name: str
    colour: str
    marker: str


SOURCES = {
    "paper": Source("authors' ears", "#666666", "D"),
    "published": Source("our rerun, gradient cut", "#D55E00", "s"),
    "corrected": Source("gradient restored", "#0072B2", "o"),
}
# Background and text of each of `GRADES`: ColorBrewer's YlGnBu, told apart by the colour-blind and in grey.
GRADE_COLOURS = (
    *(("#ffffcc", "#111"), ("#c7e9b4", "#111"), ("#7fcdbb", "#111")),
    *(("#41b6c4", "#111"), ("#2171b5", "#fff"), ("#253494", "#fff")),
)
SCALE = dict(
    zip(
        GRADES,
        (
            "silent, or static noise",
            "noise that moves a little",
            "noise that moves as the note does, or a wrong pitch",
            "the pitch, but noisy or with another envelope",
            "the pitch, its onset and its decay",
            "clean and bright like the note",
        ),
        strict=True,
    )
)
FEW = 5  # entries: the order of fewer says nothing
_COLUMNS = [(loss, activation) for loss in ("STFT", "CQT", "MFC") for activation in PAPER_ACTIVATIONS]


def overview(records: Records) -> Markdown:
    """Return in Markdown what the profile asks, its regime beside the paper's, and how many models are finished."""
    profile = records.profile
    planned = len(cells(profile))
    lines = [f"**{part}**" for part in (records.nothing(), profile.question) if part]
    lines.append(
        f"Profile **{profile.name}**: {planned - len(records.missing)} of {planned} models finished. A *regime* is "
        f"what decides how far a model gets in its training, and all numbers here are of this one: "
        f"**{profile.regime}** (epochs of autoencoder, LSTM and fine-tuning). The paper's, after the original code: "
        f"{PAPER.regime}."
    )
    lines.append(
        f"The network has C {profile.channels}, D {profile.dimension}, LSTM {profile.layers} x {profile.hidden} (the "
        f"original C {PAPER.channels}, D {PAPER.dimension}, LSTM {PAPER.layers} x {PAPER.hidden})."
    )
    if profile.data != "nsynth-train":
        counts = selection.counts(profile.data)
        compared = ", ".join(f"{role} {count} ({nsynth.TABLE2[role].notes})" for role, count in counts.items())
        lines.append(f"**Not the paper's notes**, but {nsynth.SOURCES[profile.data]}. Notes here (paper): {compared}.")
        updates = {
            name: (sum(counts[role] for role in roles), sum(nsynth.TABLE2[role].notes for role in roles))
            for name, roles in INSTRUMENT_SETS.items()
        }
        each = (
            f"{name} {-(-ours // profile.batch)} ({-(-theirs // PAPER.batch)})"
            for name, (ours, theirs) in updates.items()
        )
        lines.append(f"Updates in an epoch of the autoencoder, here (paper): {', '.join(each)}.")
    if records.carried:
        lines.append(
            f"{len(records.carried)} of the records are those that come with the project (data/{profile.name})."
        )
    older = records.about[records.about.grading < GRADING] if len(records.about) else records.about
    if len(older):
        lines.append(
            f"The grades of {len(older)} models are of version {older.grading.min()}; grades are now of version "
            f"{GRADING}, which hears how loud a note is."
        )
    if not profile.evidence:
        lines.append(f"**A {STAMP}**: too small and too short to judge the paper by.")
    return Markdown("\n\n".join(lines))


def table_1(records: Records) -> pd.DataFrame:
    """Count models: the paper's, and in brackets ours on record, the corrected ones after a plus.

    Missing ones are told as "0 of 10".

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
    counts = selection.counts(records.profile.data)
    rows = []
    for instruments, roles in INSTRUMENT_SETS.items():
        row: dict[str, object] = {"instr.": instruments}
        for loss in PAPER_LOSSES:
            for activation in PAPER_ACTIVATIONS:
                kind = _entry(records.grid, instruments, loss, activation)
                theirs = sum(cell.published for cell in _entry(cells(PAPER), instruments, loss, activation))
                ours = _count([c.name for c in kind if c.published], done)
                corrected = _count([c.name for c in kind if not c.published], done)
                ours += f" + {corrected}" if corrected else ""
                row[f"{loss}/{activation}"] = f"{theirs or '–'} ({ours.strip()})"
        row["sampl."] = sum(counts[role] for role in roles)
        row["sampl. (paper)"] = sum(nsynth.TABLE2[role].notes for role in roles)
        rows.append(row)
    return pd.DataFrame(rows).set_index("instr.")


def _entry(grid: list[Cell], *entry: str) -> list[Cell]:
    """Return the cells of an entry of Table 1: instruments, loss, activation (with PyTorch's a)."""
    return [c for c in grid if (c.instruments, c.loss, c.activation) == entry and c.elu_alpha == 1]


def _count(names: list[str], done: set[str]) -> str:
    have = len(done.intersection(names))
    if not names:
        return ""
    return str(have) if have == len(names) else f"{have} of {len(names)}"


def table_2(records: Records) -> pd.DataFrame:
    """List the instruments of the profile's data: see `instruments`."""
    return instruments(records.profile.data)


def instruments(data: str) -> pd.DataFrame:
    """List the eight instruments: name, MIDI pitch range, training and generated samples, here and in the paper.

    Derived from what is on disk; where that is not what the paper had, the samples say what is missing.
    """
    try:
        found = selection.labels(data)
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
                "gen. sampl.": len(selection.notes_to_generate(data, role)) if labels else "–",
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


def perceived(records: Records) -> pd.DataFrame:
    """List who gave which entry of Table 3 which grade.

    Returns
    -------
    DataFrame
        A row for each instrument set, training loss, activation and source ("paper": the authors' ears;
        "published" and "corrected": `singlib.grading.grades`; with ", listeners": `singlib.listening.blind_test`, where
        there are any): ``grade``, with the 95 % interval (`singlib.grading.grades.model_grade`), as "o/+ [o, +]"; or
        "not calculated", "missing". The same as numbers, 0 to 5, where there are any: ``score``, ``low``, ``high``.
    """
    ratings = blind_test.load(records)
    ratings = ratings[ratings.reliable]
    rows = []
    for instruments, grades in PAPER_GRADES.items():
        for (loss, activation), paper in zip(_COLUMNS, grades, strict=True):
            kind = _entry(records.grid, instruments, loss, activation)
            names = {
                "published": [cell.name for cell in kind if cell.published],
                "corrected": [cell.name for cell in kind if cell.gradient == "flow"],
            }
            found: dict[str, ModelGrade | str] = {"paper": ModelGrade(*[float(SCORES[paper])] * 3)}
            for source in names:
                found[source] = _grade(records.quality, names[source])
                if len(ratings):
                    found[f"{source}, listeners"] = _grade(ratings, names[source])
            for source, grade in found.items():
                entry = {"instruments": instruments, "loss": loss, "activation": activation, "source": source}
                numbers = grade._asdict() if isinstance(grade, ModelGrade) else {}
                rows.append(entry | {"grade": str(grade)} | numbers)
    return pd.DataFrame(rows)


def _grade(graded: pd.DataFrame, names: list[str]) -> ModelGrade | str:
    if not names:
        return NOT_CALCULATED
    notes = graded[graded.cell.isin(names)] if len(graded) else graded
    return model_grade(list(notes.grade), list(notes.cell)) if len(notes) else MISSING


def table_3(records: Records) -> pd.DataFrame:
    """Grade every entry: the authors' ears, ours as published and corrected, and listeners' where there are any.

    Returns
    -------
    DataFrame
        A row for each instrument set and source, see `perceived`.
    """
    tidy = perceived(records)
    tidy["entry"] = tidy.loss + "/" + tidy.activation
    table = tidy.pivot(index=["instruments", "source"], columns="entry", values="grade")
    table = table.reindex(
        index=pd.MultiIndex.from_product([PAPER_GRADES, tidy.source.unique()], names=["instr.", "grade"]),
        columns=["/".join(column) for column in _COLUMNS],
    )
    return table.rename_axis(columns=None)


def source_name(source: str) -> str:
    """Return a source of `perceived` in the words of the report: "published, listeners" as "..., listeners"."""
    who, *listeners = source.split(", ")
    return ", ".join([SOURCES[who].name, *listeners])


def table_3_html(table: pd.DataFrame) -> str:
    """Return Table 3 in HTML: an instrument set's rows together, each grade in its colour, the scale under it."""

    def colour(grade: str) -> str:
        if (score := SCORES.get(grade.split(" ")[0])) is None:
            return "color: #888"
        return "background: {}; color: {}".format(*GRADE_COLOURS[score])

    def text(grade: str) -> str:
        nearest, _, interval = grade.partition(" ")
        return {NOT_CALCULATED: "n/a", MISSING: "not yet"}.get(grade, f"{nearest} <small>{interval}</small>")

    sources = list(table.index.get_level_values("grade"))
    borders = [
        {"selector": f".row{row}", "props": "border-top: 2px solid #888"}
        for row, source in enumerate(sources)
        if source == sources[0]
    ]
    marks = {
        source_name(source): f"border-left: 5px solid {SOURCES[source.split(',')[0]].colour}" for source in sources
    }
    named = table.rename(index=source_name, level="grade")
    named.columns = pd.MultiIndex.from_tuples(_COLUMNS)
    styled = named.style.map(colour).map_index(marks.get, level="grade").format(text).hide(names=True)
    scale = "; ".join(
        f'<b style="{colour(grade)}; padding: 0 0.4em">{grade}</b> {meaning}' for grade, meaning in SCALE.items()
    )
    return f"{styled.set_table_styles(borders).to_html(table_uuid='grades')}<p>{scale}; n/a: never calculated.</p>"


@plt.style.context("default")  # whatever a matplotlibrc says
def draw_grades(records: Records) -> Figure:
    """Draw Table 3: a panel for each loss and activation, a dot with its 95 % interval for each source and set."""
    tidy = perceived(records)
    sets, sources = list(PAPER_GRADES), list(tidy.source.unique())
    figure, axes = plt.subplots(2, 3, figsize=(8, 6.4), sharex=True, sharey=True, layout="constrained")
    for row, activation in zip(axes, PAPER_ACTIVATIONS, strict=True):
        for panel, loss in zip(row, ("STFT", "CQT", "MFC"), strict=True):
            entries = tidy[(tidy.loss == loss) & (tidy.activation == activation)]
            for place, source in enumerate(sources):
                if loss == "STFT" and source.startswith("published"):
                    continue  # the same models as "corrected"
                graded = entries[(entries.source == source) & entries.score.notna()]
                style = SOURCES[source.split(", ")[0]]
                panel.errorbar(
                    graded.score,
                    [sets.index(name) + 0.6 * (place / (len(sources) - 1) - 0.5) for name in graded.instruments],
                    xerr=[graded.score - graded.low, graded.high - graded.score],
                    fmt=style.marker,
                    color=style.colour,
                    mfc="white" if source == "paper" or "listeners" in source else None,
                    capsize=2,
                    label=source_name(source),
                )
            panel.set_title(f"{loss}, {activation}", fontsize=10)
            panel.set_xticks(range(len(GRADES)), GRADES)
            panel.set_yticks(range(len(sets)), sets)
            panel.set(xlim=(-0.4, len(GRADES) - 0.6), ylim=(len(sets) - 0.5, -0.5))
            panel.grid(axis="x", color="0.9")
            panel.hlines([line + 0.5 for line in range(len(sets) - 1)], *panel.get_xlim(), color="0.9", lw=0.8)
            panel.spines[["top", "right"]].set_visible(False)
    for panel in axes[-1]:
        panel.set_xlabel("grade")
    for panel in axes[:, 0]:
        panel.set_ylabel("trained on")
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=10)
    if not records.profile.evidence:
        figure.suptitle(f"{records.profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")
    return figure


def taus(records: Records) -> pd.DataFrame:
    """Compare grades with the paper's: Kendall's tau-b (1: the same order, 0: none) over the entries both have.

    Over all entries, and over the 14 STFT entries alone: the paper grades nearly all others "-", so over
    all of them it is enough to tell STFT from the rest. Entries that were never calculated are left out.
    """
    from scipy.stats import kendalltau  # a second to import, and every command imports this module

    tidy = perceived(records).pivot(index=["instruments", "loss", "activation"], columns="source", values="grade")
    tidy = tidy[tidy.published != NOT_CALCULATED].map(lambda grade: SCORES.get(grade.split(" ")[0]))
    rows = {}
    for source in tidy.columns.drop("paper"):
        row: dict[str, object] = {}
        for which, part in (("all", tidy), ("STFT", tidy.xs("STFT", level="loss"))):
            both = part[["paper", source]].dropna()
            row[f"entries ({which})"] = len(both)
            row[f"tau ({which})"] = kendalltau(both.paper, both[source]).statistic if len(both) > 1 else float("nan")
        rows[source] = row
    return pd.DataFrame.from_dict(rows, orient="index").round(2).rename_axis("grade")


def why(number: int, records: Records) -> str:
    """Say why a table differs from the paper's, where it does."""
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
    return f"{agreement(records)} On the STFT both rows are the same models: its gradient was never lost."


def agreement(records: Records) -> str:
    """Say how far each source grades in the authors' order: Kendall's tau, and what it means."""
    parts = []
    for source, row in taus(records).sort_index(ascending=False).iterrows():
        counted = [
            f"{row[f'tau ({which})']:.2f} over {row[f'entries ({which})']:.0f} {entries}"
            for which, entries in (("all", "entries"), ("STFT", "of the STFT"))
            if row[f"entries ({which})"] >= FEW
        ]
        parts.append(f"{source_name(source)} {' and '.join(counted) or '(too few entries yet)'}")
    return f"Kendall's tau with the authors' order (1: the same, 0: no relation): {', '.join(parts)}."


@plt.style.context("default")
def save(number: int, records: Records) -> str:
    """Save a table as CSV and Markdown under ``figures/<profile>/``, Table 3 as a picture too; return the Markdown."""
    frame = (table_1, table_2, table_3)[number - 1](records)
    path = output_folder(records.profile) / f"table{number}"
    frame.to_csv(path.with_suffix(".csv"))
    if number == 3:
        picture = draw_grades(records)
        picture.savefig(path.with_suffix(".png"), dpi=150)
        with plt.rc_context({"svg.hashsalt": "singlib"}):  # the same picture is the same file
            picture.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        plt.close(picture)
        frame = frame.rename(index=source_name, level="grade")
    text = f"**Table {number}.** {CAPTIONS[number]}.\n\n{frame.reset_index().to_markdown(index=False)}\n"
    text += f"\n{why(number, records)}\n"
    if not records.profile.evidence:
        text += f"\n*{records.profile.name}: {STAMP}*\n"
    write_text(path.with_suffix(".md"), text)
    return text


def show(number: int, records: Records) -> None:
    """Save a table (see `save`) and display it with its caption."""
    text = f'<a id="table-{number}"></a>{save(number, records)}'
    if number != 3:
        display(Markdown(text))
        return
    caption, _, note = text.partition("\n\n")
    display(Markdown(caption), HTML(table_3_html(table_3(records))), Markdown(note.partition("\n\n")[2]))


def show_grades(records: Records) -> None:
    """Display the picture of Table 3, saved by `save`."""
    alternative = (
        "Table 3 as a picture: the grade of each loss, activation and instrument set, the authors' beside ours."
    )
    path = output_folder(records.profile) / "table3.svg"
    display(SVG(path, metadata={"alt": alternative}))
