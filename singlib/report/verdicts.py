"""The claims and what came of them, for people: the tables of the report."""

from __future__ import annotations

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from .. import claims
from ..files import write_text
from ..runs import records as records_of
from ..runs.records import Records
from .figures import MARKS, STAMP, output_folder


def told(row: pd.Series) -> str:
    """Return an effect in words: size, 95 % interval, unit, number of models, each set's own size, and the reason."""
    if not np.isfinite(row["size"]):
        return f"({row.reason})"
    interval = f" [{_number(row.lowest)}, {_number(row.highest)}]" if np.isfinite(row.lowest) else ""
    more = "; ".join(filter(None, (row.reason, row.by_set)))
    return f"{_number(row['size'])}{interval} {row.unit}, n = {row.models}" + (f" ({more})" if more else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # not 3.03e+03 %


def table(checked: pd.DataFrame) -> str:
    """Return checked claims in Markdown: statement and place, what is measured, what came out, verdict; and notes."""
    verdicts = [
        f"{MARKS[row.verdict]} {row.verdict}" + ("" if row.holm == row.verdict else " (Holm: undecided)")
        for row in checked.itertuples()
    ]
    shown = pd.DataFrame(
        {
            "statement": checked.statement
            + " ("
            + checked.place
            + ")"
            + checked.revised.map(lambda why: " †" * bool(why)),
            "measured": checked.effect,
            "found, 95 % interval": [told(row) for _, row in checked.iterrows()],
            "verdict": verdicts,
        }
    )
    lines = [shown.to_markdown(index=False), "", chance(checked)]
    changed = checked[checked.revised != ""].groupby("revised", sort=False).statement.apply(" ".join)
    if len(changed):
        lines += ["", "† The rule was changed when records had come in, those of `recorded-many-updates`:", ""]
        lines += [f"- {why}: {statements}" for why, statements in changed.items()]
    return "\n".join(lines)


def chance(checked: pd.DataFrame) -> str:
    """Say how many verdicts may be wrong by chance, and how many stand when all are to be right together."""
    tested = checked[checked.p.notna()]
    decided = tested[tested.verdict.isin(("holds", "does not hold"))]
    stand = (decided.holm == decided.verdict).sum()
    return (
        f"{len(tested)} statements have a 95 % interval: some {len(tested) / 20:.0f} of these may miss by chance. Of "
        f"the {len(decided)} that are decided, {stand} stand when all are to be right together (S. Holm, 1979); the "
        'others are marked "Holm: undecided".'
    )


def save(records: Records) -> pd.DataFrame:
    """Check every claim, save the outcome as CSV and Markdown under ``figures/<profile>/``, and return it."""
    checked = claims.check(records)
    path = output_folder(records.profile) / "claims"
    text = f"Profile {records.profile.name}: {records.profile.regime}.\n\n{table(checked)}\n"
    if not records.profile.evidence:
        text += f"\n*{records.profile.name}: {STAMP}*\n"
    checked.to_csv(path.with_suffix(".csv"), index=False)
    write_text(path.with_suffix(".md"), text)
    return checked


def in_short(checked: pd.DataFrame) -> Markdown:
    """Say which of the paper's statements hold in these records, which do not, and how many are left open."""
    said = checked[checked.key.isin([claim.key for claim in claims.CLAIMS if not claim.ours])]
    parts = [f"Of {len(said)} statements of the paper that were put to the test:"]
    for verdict, lead in (("holds", "Hold here"), ("does not hold", "Do not hold here")):
        rows = said[said.verdict == verdict]
        lines = [f"- {row.statement} ({row.place})" for row in rows.itertuples()]
        parts.append("\n".join([f"**{lead}: {len(rows)}**", "", *lines]))
    counts = said.verdict.value_counts()
    undecided, untested = counts.get("undecided", 0), counts.get("cannot be tested", 0)
    parts.append(f"Undecided: {undecided}; not to be tested with these models: {untested}. Details are below.")
    return Markdown("\n\n".join(parts))


def in_another_regime(checked: pd.DataFrame, records: Records) -> Markdown:
    """Say which verdicts turn round in the profile that is set beside this one (`Profile.beside`), a line each.

    Parameters
    ----------
    checked : DataFrame
        Of `save`.
    records : Records
        What it was made from.
    """
    if records.profile.beside is None:
        return Markdown("No other profile is set beside this one.")
    try:
        other = records_of.load(records.profile.beside)
    except FileNotFoundError:
        return Markdown(f"The records of {records.profile.beside}, which belong beside these, are not here.")
    asked = [claim for claim in claims.CLAIMS if claim.key in set(checked.key)]
    both = checked.merge(claims.check(other, asked), on="key", suffixes=("", "_there"))
    plain = both[both.verdict.isin(("holds", "does not hold")) & both.verdict_there.isin(("holds", "does not hold"))]
    turned = plain[plain.verdict != plain.verdict_there]
    here, there = (f"{it.profile.regime}, C {it.profile.channels}" for it in (records, other))
    lead = (
        f"Here: {here}. There, in {other.profile.name}: {there}. Both say plainly yes or no to {len(plain)} "
        f"statements, and the opposite to {len(turned)} of them:"
    )
    lines = []
    for _, row in turned.iterrows():
        theirs = row.filter(like="_there").rename(lambda name: name.removesuffix("_there"))
        found = f"Here it **{row.verdict}**: {told(row)}. There it **{theirs.verdict}**: {told(theirs)}."
        lines.append(f"- {row.statement} {found}")
    return Markdown("\n".join([lead, "", *lines]))


def show(checked: pd.DataFrame, ours: bool = False) -> None:
    """Display the outcome of `save`: the paper's claims, or ours; with a count of the verdicts."""
    keys = [claim.key for claim in claims.CLAIMS if claim.ours == ours]
    some = checked[checked.key.isin(keys)]
    counts = some.verdict.value_counts()
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in claims.VERDICTS if verdict in counts)
    display(Markdown(f"{len(some)} statements: {summary}.\n\n{table(some)}"))
