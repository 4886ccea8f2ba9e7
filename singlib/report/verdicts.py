"""The claims with their verdicts: a line each in the report, with the numbers behind a click, and as files."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

from .. import claims
from ..files import write_text
from ..runs import records as records_of
from ..runs.records import Records
from .figures import MARKS, STAMP, output_folder

PLAIN = ("holds", "does not hold")


def in_words(row: pd.Series) -> str:
    """Return in a sentence what was found for a claim, a row of `singlib.claims.check`.

    What differs by more than 100 % is told as a ratio.
    """
    if not np.isfinite(row["size"]):
        return f"{row.reason[0].upper()}{row.reason[1:]}."
    ratio = row.unit.startswith("% of") and abs(row["size"]) > 100
    sign = np.sign(row["size"])

    def number(value: float) -> str:
        if ratio:  # an interval may reach below 0, a ratio cannot
            return f"{max(0, 1 + sign * value / 100):.3g}"
        return "less than 0.0001" if 0 < abs(value) < 1e-4 else f"{value:.3g}".replace("-", "−")

    text = f"{number(row['size'])} {row.unit.replace('% of', 'times') if ratio else row.unit}"
    if np.isfinite(row.lowest):
        ends = (row.highest, row.lowest) if ratio and sign < 0 else (row.lowest, row.highest)
        text += ", 95 % interval " + " to ".join(map(number, ends))
    text += f" (n = {row.models})" + (f"; {row.reason}" if row.reason else "")
    sets = re.sub(r"(\S+) \(", lambda found: f"{number(float(found[1]))} (", row.by_set)
    return f"{text}. By set: {sets}." if sets else f"{text}."


def linked_place(place: str) -> str:
    """Return a claim's place in the paper in HTML, its figures and tables linked."""
    found = re.search(r"(Fig|Table)", place)
    if not found:
        return place
    kind = {"Fig": "figure", "Table": "table"}[found[0]]
    return place[: found.start()] + re.sub(r"\d+", rf'<a href="#{kind}-\g<0>">\g<0></a>', place[found.start() :])


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
            f"The rule was changed when records had come in: {escape(row.revised)}." if row.revised else "",
        )
        for _, row in checked.iterrows()
    )


def marked_verdict(row: pd.Series) -> str:
    """Return the verdict with its mark, and whether it is taken back when all are to be right together."""
    return f"{MARKS[row.verdict]} {row.verdict}" + ("" if row.holm == row.verdict else " (Holm: undecided)")


def in_numbers(row: pd.Series) -> str:
    """Return the size of an effect, its 95 % interval, unit, number of models, the reason and each set's own size."""
    if not np.isfinite(row["size"]):
        return f"({row.reason})"
    size, lowest, highest = (
        f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" for value in (row["size"], row.lowest, row.highest)
    )
    interval = f" [{lowest}, {highest}]" if np.isfinite(row.lowest) else ""
    more = "; ".join(filter(None, (row.reason, row.by_set)))
    return f"{size}{interval} {row.unit}, n = {row.models}" + (f" ({more})" if more else "")


def in_markdown(checked: pd.DataFrame) -> str:
    """Return checked claims as a table in Markdown: statement, what is measured, what was found, verdict; and notes."""
    daggers = checked.revised.map(lambda why: " †" * bool(why))
    shown = pd.DataFrame(
        {
            "statement": checked.statement + " (" + checked.place + ")" + daggers,
            "measured": checked.effect,
            "found, 95 % interval": [in_numbers(row) for _, row in checked.iterrows()],
            "verdict": [marked_verdict(row) for _, row in checked.iterrows()],
        }
    )
    lines = [shown.to_markdown(index=False), "", errors_by_chance(checked)]
    changed = checked[checked.revised != ""].groupby("revised", sort=False).statement.apply(" ".join)
    if len(changed):
        lines += ["", "† The rule was changed when the records of `recorded-many-updates` had come in:", ""]
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
    text = f"Profile {records.profile.name}: {records.profile.regime}.\n\n{in_markdown(checked)}\n"
    if not records.profile.evidence:
        text += f"\n*{records.profile.name}: {STAMP}*\n"
    checked.to_csv(path.with_suffix(".csv"), index=False)
    write_text(path.with_suffix(".md"), text)
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
    """List the statements whose verdict is the opposite in the profile that is set beside this one (`Profile.beside`).

    Parameters
    ----------
    checked : DataFrame
        Of `save`.
    records : Records
        What it was made from.
    """
    if records.profile.beside is None:
        return HTML("<p>No other profile is set beside this one.</p>")
    try:
        other = records_of.load(records.profile.beside)
    except FileNotFoundError:
        return HTML(f"<p>The records of {records.profile.beside}, to be compared with these, are not here.</p>")
    asked = [claim for claim in claims.CLAIMS if claim.key in set(checked.key)]
    here, there = (frame.set_index("key") for frame in (checked, claims.check(other, asked)))
    decided = here.index[here.verdict.isin(PLAIN) & there.verdict.isin(PLAIN)]
    opposite = [key for key in decided if here.verdict[key] != there.verdict[key]]
    ours, theirs = (f"{it.profile.regime}, C {it.profile.channels}" for it in (records, other))
    lead = (
        f"<p>Here: {ours}. There, in {other.profile.name}: {theirs}. Both decide {len(decided)} statements, and "
        f"contradict each other on {len(opposite)} of them:</p>"
    )
    lines = [
        line(
            f"{key}-turned",
            f"{here.verdict[key]} here, {there.verdict[key]} there",
            escape(here.statement[key]),
            f"Measured: {escape(here.effect[key])}",
            f"Here: {escape(in_words(here.loc[key]))}",
            f"There: {escape(in_words(there.loc[key]))}",
        )
        for key in opposite
    ]
    return HTML("\n".join([lead, *lines]))
