"""Table 3 of the paper: the grade of each loss, activation and instrument set, the authors' beside ours."""

from __future__ import annotations

from itertools import product, zip_longest

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import SVG, display
from matplotlib.figure import Figure

from ..claims.statistics import FEW, tau_interval
from ..grading.grades import GRADES, MEANINGS, SCORES, ModelGrade, model_grade
from ..grid import PAPER_ACTIVATIONS, PAPER_LOSSES, Cell, cells
from ..listening import blind_test
from ..runs.records import Records
from .figures import output_folder, stamp

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
SOURCES = {"paper": "authors' ears", "published": "our rerun, gradient cut", "corrected": "gradient restored"}
STYLES = {  # Okabe and Ito's colours
    "paper": {"color": "#666666", "marker": "D"},
    "published": {"color": "#D55E00", "marker": "s"},
    "corrected": {"color": "#0072B2", "marker": "o"},
}
# Background and text of each grade: ColorBrewer's YlGnBu, told apart by the colour-blind and in grey.
COLOURS = {
    "-": ("#ffffcc", "#111"),
    "-/o": ("#c7e9b4", "#111"),
    "o": ("#7fcdbb", "#111"),
    "o/+": ("#41b6c4", "#111"),
    "+": ("#2171b5", "#fff"),
    "++": ("#253494", "#fff"),
}


def losses(grid: list[Cell]) -> list[str]:
    """Return the paper's losses in the order of its tables, and after them ours, if a grid has it."""
    ours = sorted({cell.loss for cell in grid}.difference(PAPER_LOSSES))
    return ["STFT", "CQT", "MFC", *ours]


def entry(grid: list[Cell], *entry: str) -> list[Cell]:
    """Return the cells of an entry of Table 3: instruments, loss, activation (with PyTorch's a)."""
    return [cell for cell in grid if (cell.instruments, cell.loss, cell.activation) == entry and cell.elu_alpha == 1]


def perceived(records: Records) -> pd.DataFrame:
    """List who gave which entry of Table 3 which grade.

    Returns
    -------
    DataFrame
        A row for each ``instruments``, ``loss``, ``activation`` and ``source``. Sources are "paper", the authors' ears;
        "corrected" and, if the grid has models with their gradient cut, "published", `singlib.grading.grades`; and,
        if there are any ratings, each of the two with ", listeners", `singlib.listening.blind_test`. ``grade``, with
        its 95 % interval, is as "o/+ [o, +]", "not calculated" or "missing"; ``score``, ``low`` and ``high`` are the
        same as numbers, 0 to 5.
    """
    ratings = blind_test.load(records)
    ratings = ratings[ratings.reliable]
    columns = list(product(losses(records.grid), PAPER_ACTIVATIONS))
    rows = []
    for instruments, grades in PAPER_GRADES.items():
        for (loss, activation), paper in zip_longest(columns, grades):
            kind = entry(records.grid, instruments, loss, activation)
            names_of = {"corrected": [cell.name for cell in kind if cell.gradient == "flow"]}
            if records.profile.cut:
                names_of = {"published": [cell.name for cell in kind if cell.published]} | names_of
            graded = ModelGrade(*[float(SCORES[paper])] * 3) if paper else NOT_CALCULATED
            by_source: dict[str, ModelGrade | str] = {"paper": graded}
            for source, names in names_of.items():
                by_source[source] = _grade(records.quality, names, "cell")
                if len(ratings):  # those of one listener are not independent
                    by_source[f"{source}, listeners"] = _grade(ratings, names, "listener")
            for source, grade in by_source.items():
                numbers = grade if isinstance(grade, ModelGrade) else [float("nan")] * 3
                rows.append((instruments, loss, activation, source, str(grade), *numbers))
    columns = ["instruments", "loss", "activation", "source", "grade", *ModelGrade._fields]
    return pd.DataFrame(rows, columns=columns)


def _grade(graded: pd.DataFrame, names: list[str], group: str) -> ModelGrade | str:
    if not names:
        return NOT_CALCULATED
    notes = graded[graded.cell.isin(names)] if len(graded) else graded
    return model_grade(list(notes.grade), list(notes[group])) if len(notes) else MISSING


def table(records: Records) -> pd.DataFrame:
    """Lay `perceived` out as the paper's Table 3: a row for each instrument set and source."""
    tidy = perceived(records)
    tidy["entry"] = tidy.loss + "/" + tidy.activation
    table = tidy.set_index(["instruments", "source", "entry"]).grade.unstack(sort=False)
    return table.rename_axis(index=["instr.", "grade"], columns=None)


def source_name(source: str) -> str:
    """Return a source of `perceived` in the words of the report: "published, listeners" as "..., listeners"."""
    who, *listeners = source.split(", ")
    return ", ".join([SOURCES[who], *listeners])


def in_html(table: pd.DataFrame) -> str:
    """Return Table 3 in HTML: an instrument set's rows together, each grade in its colour, the scale under it."""

    def colour(grade: str) -> str:
        background, text = COLOURS.get(grade.split(" ")[0], ("", "#888"))
        return f"background: {background}; color: {text}" if background else f"color: {text}"

    def text(grade: str) -> str:
        nearest, _, interval = grade.partition(" ")
        return {NOT_CALCULATED: "n/a", MISSING: "not yet"}.get(grade, f"{nearest} <small>{interval}</small>")

    sources = table.index.unique("grade")
    line = "border-top: 2px solid #888"
    borders = [{"selector": f".row{row}", "props": line} for row in range(0, len(table), len(sources))]
    colours = {source: STYLES[source.split(",")[0]]["color"] for source in sources}
    marks = {source_name(source): f"border-left: 5px solid {mark}" for source, mark in colours.items()}
    named = table.rename(index=source_name, level="grade")
    named.columns = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in named.columns])
    styled = named.style.map(colour).map_index(marks.get, level="grade").format(text).hide(names=True)
    scale = "; ".join(
        f'<b style="{colour(grade)}; padding: 0 0.4em">{grade}</b> {meaning}' for grade, meaning in MEANINGS.items()
    )
    ours = "; MRSTFT: a loss of ours, on the STFT at four frame sizes" * ("MRSTFT/ReLU" in table)
    html = styled.set_table_styles(borders).to_html(table_uuid="grades")
    return f"{html}<p>{scale}; n/a: never calculated{ours}.</p>"


@plt.style.context("default")  # whatever a matplotlibrc says
def draw(records: Records) -> Figure:
    """Draw Table 3: a panel for each loss and activation, a dot with its 95 % interval for each source and set."""
    tidy = perceived(records)
    sets, sources = list(PAPER_GRADES), list(tidy.source.unique())
    panels = tidy.groupby(["loss", "activation"], sort=False)
    wide = len(panels) // 2
    figure, axes = plt.subplots(2, wide, figsize=(8 / 3 * wide, 6.4), sharex=True, sharey=True, layout="constrained")
    for panel, ((loss, activation), entries) in zip(axes.T.flat, panels, strict=True):
        entries = entries[entries.score.notna()]
        for place, source in enumerate(sources):
            if loss == "STFT" and source.startswith("published"):
                continue  # the same models as "corrected"
            graded = entries[entries.source == source]
            panel.errorbar(
                graded.score,
                [sets.index(name) + 0.6 * (place / (len(sources) - 1) - 0.5) for name in graded.instruments],
                xerr=[graded.score - graded.low, graded.high - graded.score],
                ls="",
                mfc="white" if source == "paper" or "listeners" in source else None,
                capsize=2,
                label=source_name(source),
                **STYLES[source.split(", ")[0]],
            )
        panel.set_title(f"{loss}, {activation}", fontsize=10)
        panel.set_xticks(range(len(GRADES)), GRADES)
        panel.set_yticks(range(len(sets)), sets)
        panel.set(xlim=(-0.4, len(GRADES) - 0.6), ylim=(len(sets) - 0.5, -0.5), xlabel="grade", ylabel="trained on")
        panel.label_outer()
        panel.grid(axis="x", color="0.9")
        panel.hlines([line + 0.5 for line in range(len(sets) - 1)], *panel.get_xlim(), color="0.9", lw=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=10)
    stamp(figure, records.profile)
    return figure


def taus(records: Records) -> pd.DataFrame:
    """Compare grades with the paper's: Kendall's tau-b (1: the same order, 0: none) over the entries both have.

    Over all entries that the authors calculated (Table 1), and over the 14 STFT entries alone, with its 95 % interval:
    the paper grades nearly all others "-", so over all of them it is enough to tell STFT from the rest.
    """
    tidy = perceived(records).pivot(index=["instruments", "loss", "activation"], columns="source", values="grade")
    theirs = [(cell.instruments, cell.loss, cell.activation) for cell in cells("paper") if cell.published]
    tidy = tidy[tidy.index.isin(theirs)].map(lambda grade: SCORES.get(grade.split(" ")[0])).astype(float)
    columns = {}
    for which, part in (("all", tidy), ("STFT", tidy.xs("STFT", level="loss"))):
        columns[f"entries ({which})"] = part.count()
        columns[f"tau ({which})"] = part.corr("kendall").paper
    table = pd.DataFrame(columns).drop("paper").rename_axis("grade")
    ends = [tau_interval(*row) for row in zip(table["tau (STFT)"], table["entries (STFT)"], strict=True)]
    return table.join(pd.DataFrame(ends, table.index, ["lowest (STFT)", "highest (STFT)"])).round(2)


def say_taus(records: Records) -> str:
    """Say how far each source grades in the authors' order."""
    parts = []
    for source, row in taus(records).sort_index(ascending=False).iterrows():
        interval = "[{lowest (STFT)}, {highest (STFT)}] ".format(**row)
        orders = [
            f"{row[f'tau ({which})']:.2f} {with_interval}over {row[f'entries ({which})']:.0f} {entries}"
            for which, entries, with_interval in (("all", "entries", ""), ("STFT", "of the STFT", interval))
            if row[f"entries ({which})"] >= FEW
        ]
        parts.append(f"{source_name(source)} {' and '.join(orders) or '(too few entries yet)'}")
    text = f"Kendall's tau with the authors' order (1: the same, 0: no relation): {', '.join(parts)}."
    if records.profile.cut:
        text += " On the STFT both rows are the same models: its gradient was never lost."
    return text


def show_picture(records: Records) -> None:
    """Display the picture of Table 3, saved by `singlib.report.tables.save`."""
    text = "Table 3 as a picture: the grade of each loss, activation and instrument set, the authors' beside ours."
    display(SVG(output_folder(records.profile) / "table3.svg", metadata={"alt": text}))
