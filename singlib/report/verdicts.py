"""The claims with their verdicts: a line each in the report, with the numbers behind a click, and as files."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

from .. import claims
from ..runs import records as records_of
from ..runs.records import Records
from .figures import MARKS, output_folder, save_markdown

PLAIN = claims.VERDICTS[:2]
# How an effect asks ("How far ELU's loss ends below ReLU's; more than 0."), so that its answer needs no minus sign.
OPPOSITES = {"above": "below", "below": "above", "before": "after", "larger": "smaller", "faster": "slower"}
COMPARISON = re.compile(rf"(?:How far|By how much) (.+?) ({'|'.join(OPPOSITES)}) (.+); ")


def turned(word: str, size: float) -> str:
    """Return the word of a comparison, or its opposite for a negative size: what is -45 % below is 45 % above."""
    return word if size >= 0 else OPPOSITES[word]


def number(value: float) -> str:
    """Return a number to three digits."""
    return "less than 0.0001" if 0 < abs(value) < 1e-4 else f"{value:.3g}".replace("-", "−")


def in_words(row: pd.Series) -> str:
    """Return in a sentence what was found for a claim, a row of `singlib.claims.check`.

    A comparison is told the way it came out, "ELU's loss ends 45 % above ReLU's"; more than 100 % above, as a ratio.
    """
    size, unit = row["size"], row.unit
    if not np.isfinite(size):
        return f"{row.reason[0].upper()}{row.reason[1:]}."
    comparison = COMPARISON.match(row.effect)
    subject, word, other = comparison.groups() if comparison else ("", "", "")
    sign = -1 if comparison and size < 0 else 1
    ratio = comparison and unit.startswith("% of") and abs(size) > 100

    def told(values: list[float]) -> list[str]:
        if ratio:  # an interval may reach below 0, a ratio cannot
            return [number(max(0, 1 + sign * value / 100)) for value in values]
        if comparison and min(sign * value for value in values) < 0:
            return [f"{number(abs(value))} {turned(word, value)}" for value in values]
        return [number(sign * value) for value in values]

    (text,) = told([size])
    if ratio:
        text = f"{subject} at {text} times {other}"
    elif comparison:
        if word in ("above", "below"):  # in % of the other; a correlation has no unit
            unit = re.sub("% of .*", "%", unit).replace("rank correlation", "")
        text = " ".join(f"{subject} {text} {unit} {turned(word, size)} {other}".split())
    else:
        text = f"{unit} {text}" if unit == "rank correlation" else f"{text} {unit}"
        text = re.sub(r"^1 (\w+)s$", r"1 \1", text)
    if np.isfinite(row.lowest):
        ends = sorted((row.lowest, row.highest), key=lambda end: sign * end)
        text += f", 95 % interval {' to '.join(told(ends))}"
    text += f" (n = {row.models})" + (f"; {row.reason}" if row.reason else "")
    if sets := re.findall(r"(\S+) (\S+) (\(\d+\))", row.by_set):
        names, values, counts = zip(*sets, strict=True)
        text += ". By set: " + "; ".join(
            map(" ".join, zip(names, told([float(value) for value in values]), counts, strict=True))
        )
    return f"{text[0].upper()}{text[1:]}."


def linked_place(place: str) -> str:
    """Return a claim's place in the paper in HTML, its figures and tables linked."""
    before, word, numbers = re.fullmatch(r"(.*?)(Figs?\.|Table|$)(.*)", place).groups()
    kind = "table" if word == "Table" else "figure"
    return before + word + re.sub(r"\d+", rf'<a href="#{kind}-\g<0>">\g<0></a>', numbers)


def line(key: str, verdict: str, statement: str, *details: str) -> str:
    """Return a claim in HTML: verdict and statement in a line, details behind a click, and a target for links."""
    paragraphs = "".join(f"<p>{part}</p>" for part in details if part)
    return f'<details id="claim-{key}"><summary><b>{verdict}</b>: {statement}</summary>{paragraphs}</details>'


def in_html(checked: pd.DataFrame) -> str:
    """Return checked claims in HTML, a `line` each."""
    return "\n".join(
        line(
            row.key,
            marked_verdict(row),
            f"{escape(row.statement)} ({linked_place(row.place)})",
            f"Measured: {escape(row.effect)}",
            f"Found: {escape(in_words(row))}",
            row.revised and f"The rule was changed after records had come in: {escape(row.revised)}.",
        )
        for _, row in checked.iterrows()
    )


def marked_verdict(row: pd.Series) -> str:
    """Return the verdict with its mark, and whether it is taken back when all are to be right together."""
    return f"{MARKS[row.verdict]} {row.verdict}" + ("" if row.holm == row.verdict else " (Holm: undecided)")


def in_markdown(checked: pd.DataFrame) -> str:
    """Return checked claims as a table in Markdown: statement, what is measured, what was found, verdict; and notes."""
    rows = [row for _, row in checked.iterrows()]
    shown = pd.DataFrame(
        {
            "statement": [f"{row.statement} ({row.place})" + " †" * bool(row.revised) for row in rows],
            "measured": checked.effect,
            "found": map(in_words, rows),
            "verdict": map(marked_verdict, rows),
        }
    )
    lines = [shown.to_markdown(index=False), "", errors_by_chance(checked)]
    changed = checked[checked.revised != ""].groupby("revised", sort=False).statement.apply(" ".join)
    if len(changed):
        lines += ["", "† The rule was changed after the records of `recorded-many-updates` had come in:", ""]
        lines += [f"- {why}: {statements}" for why, statements in changed.items()]
    return "\n".join(lines)


def errors_by_chance(checked: pd.DataFrame) -> str:
    """Say how many verdicts may be wrong by chance, and how many stand when all are to be right together."""
    tested = checked[checked.p.notna()]
    decided = tested[tested.verdict.isin(PLAIN)]
    stand = (decided.holm == decided.verdict).sum()
    return (
        f"{len(tested)} statements have a 95 % interval, so about {len(tested) / 20:.0f} of these may miss by chance. "
        f"Of the {len(decided)} that are decided, {stand} stand when all are to be right together (S. Holm, 1979); the "
        'others are marked "Holm: undecided".'
    )


def save(records: Records) -> pd.DataFrame:
    """Check every claim, save the outcome as CSV and Markdown under ``figures/<profile>/``, and return it."""
    checked = claims.check(records)
    path = output_folder(records.profile) / "claims"
    checked.to_csv(path.with_suffix(".csv"), index=False)
    text = f"Profile {records.profile.name}: {records.profile.regime}.\n\n{in_markdown(checked)}\n"
    save_markdown(text, path, records.profile)
    return checked


def claims_of(checked: pd.DataFrame, ours: bool) -> pd.DataFrame:
    """Return the rows of the paper's claims, or of ours."""
    return checked[checked.key.isin([claim.key for claim in claims.CLAIMS if claim.ours == ours])]


def in_short(checked: pd.DataFrame) -> Markdown:
    """List which of the paper's statements hold in these records and which do not, and count those left open."""
    paper = claims_of(checked, ours=False)
    parts = [f"Of {len(paper)} statements of the paper that were tested:"]
    for verdict, lead in zip(PLAIN, ("Hold here", "Do not hold here"), strict=True):
        rows = paper[paper.verdict == verdict]
        lines = [f"- [{row.statement}](#claim-{row.key}) ({row.place})" for row in rows.itertuples()]
        parts.append("\n".join([f"**{lead}: {len(rows)}**", "", *lines]))
    undecided, untestable = ((paper.verdict == verdict).sum() for verdict in claims.VERDICTS[2:])
    parts.append(f"Undecided: {undecided}; cannot be tested with these models: {untestable}. Details are below.")
    return Markdown("\n\n".join(parts))


def show(checked: pd.DataFrame, ours: bool = False) -> None:
    """Display the outcome of `save`: the paper's claims, or ours; with a count of the verdicts."""
    some = claims_of(checked, ours)
    counts = some.verdict.value_counts()
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in claims.VERDICTS if verdict in counts)
    lead = f"{len(some)} statements: {summary}. A click on one shows its numbers; n counts models, or pairs of them."
    display(HTML(f"<p>{lead}</p>\n{in_html(some)}\n<p>{errors_by_chance(some)}</p>"))


def in_another_regime(checked: pd.DataFrame, records: Records) -> HTML:
    """List the statements whose verdict is the opposite in the profile beside this one (`Profile.beside`)."""
    if records.profile.beside is None:
        return HTML("<p>No other profile is set beside this one.</p>")
    try:
        other = records_of.load(records.profile.beside)
    except FileNotFoundError:
        return HTML(f"<p>The records of {records.profile.beside}, to be compared with these, are not here.</p>")
    asked = [claim for claim in claims.CLAIMS if claim.key in set(checked.key)]
    here, there = (frame.set_index("key") for frame in (checked, claims.check(other, asked)))
    decided = here.verdict.isin(PLAIN) & there.verdict.isin(PLAIN)
    opposite = here.index[decided & (here.verdict != there.verdict)]
    ours, theirs = (f"{it.profile.regime}, C {it.profile.channels}" for it in (records, other))
    lead = (
        f"<p>Here: {ours}. There, in {other.profile.name}: {theirs}. Both decide {decided.sum()} statements, and "
        f"contradict each other on {len(opposite)} of them:</p>"
    )
    lines = [
        line(
            f"{key}-turned",
            f"{here.verdict[key]} here, {there.verdict[key]} there",
            escape(here.statement[key]),
            f"Measured: {escape(here.effect[key])}",
            *(f"{place}: {escape(in_words(rows.loc[key]))}" for place, rows in (("Here", here), ("There", there))),
        )
        for key in opposite
    ]
    return HTML("\n".join([lead, *lines]))
