"""The claims in words: a line each in the report, numbers behind a click; as files; and the sentences at its head."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

from .. import claims
from ..grading.grades import GRADES
from ..grid import LOSSES, cells
from ..runs import records as records_of
from ..runs.records import Records
from .figures import MARKS, STAMP, output_folder, save_markdown, taken_back

PLAIN = claims.VERDICTS[:2]
ABSENT = claims.VERDICTS[-1]
# How an effect asks ("How far ELU's loss ends below ReLU's; more than 0."), so that its answer needs no minus sign.
OPPOSITES = {"above": "below", "below": "above", "before": "after", "larger": "smaller", "faster": "slower"}
COMPARISON = re.compile(rf"(?:How far|By how much) (.+?) ({'|'.join(OPPOSITES)}) (.+); ")


def turned(word: str, size: float) -> str:
    """Return the word of a comparison, or its opposite for a negative size: what is -45 % below is 45 % above."""
    return word if size >= 0 else OPPOSITES[word]


def number(value: float) -> str:
    """Return a number to three digits, a very small one to two."""
    if 0 < abs(value) < 1e-9:
        return "less than 1e-9"
    text = f"{abs(value):.3g}" if value == 0 or abs(value) >= 1e-4 else f"{abs(value):.1e}"
    return f"−{text}" if value < 0 else text


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
        if ratio:
            return [number(1 + sign * value / 100) for value in values]
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
    over = ", interval over sets" * (row.over == "sets")
    text += f" (n = {row.models}{over})" + (f"; {row.reason}" if row.reason else "")
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


def models_of(row: pd.Series) -> str:
    """Say how the models of a claim were trained if they are those of an experiment beside the grid; else nothing."""
    beside = {claim.key for claim in claims.CLAIMS if claim.experiment}
    return f"Models of an experiment beside the grid: {row.regime}." if row.key in beside and row.models else ""


def in_html(checked: pd.DataFrame) -> str:
    """Return checked claims in HTML, a `line` each."""
    return "\n".join(
        line(
            row.key,
            marked_verdict(row),
            f"{escape(row.statement)} ({linked_place(row.place)})",
            f"Measured: {escape(row.effect)}",
            f"Found: {escape(in_words(row))}",
            escape(models_of(row)),
            row.revised and f"The rule was changed after records had come in: {escape(row.revised)}.",
        )
        for _, row in checked.iterrows()
    )


def marked_verdict(row: pd.Series) -> str:
    """Return the verdict with its mark, and whether it is taken back."""
    return f"{MARKS[row.verdict]} {row.verdict}{taken_back(row)}"


def in_markdown(checked: pd.DataFrame) -> str:
    """Return checked claims as a table in Markdown: statement, what is measured, what was found, verdict; and notes."""
    rows = [row for _, row in checked.iterrows()]
    shown = pd.DataFrame(
        {
            "statement": [f"{row.statement} ({row.place})" + " †" * bool(row.revised) for row in rows],
            "measured": checked.effect,
            "found": [f"{in_words(row)} {models_of(row)}".strip() for row in rows],
            "verdict": map(marked_verdict, rows),
        }
    )
    lines = [shown.to_markdown(index=False), "", errors_by_chance(checked)]
    changed = checked[checked.revised != ""].groupby("revised", sort=False).statement.apply(" ".join)
    if len(changed):
        lines += ["", "† The rule was changed after records had come in:", ""]
        lines += [f"- {why}: {statements}" for why, statements in changed.items()]
    return "\n".join(lines)


def errors_by_chance(checked: pd.DataFrame) -> str:
    """Say how many verdicts may be wrong by chance, and how many stand when all are to be right together."""
    tested = checked[checked.p.notna()]
    decided = tested[tested.verdict.isin(PLAIN)]
    stand = (decided.holm == decided.verdict).sum()
    return (
        f"{len(tested)} statements have a 95 % interval, so about {len(tested) / 20:.0f} of these may miss by chance. "
        f"Of the {len(decided)} that are decided, {stand} stand when all are to be right together (S. Holm, 1979); "
        'those on experiments beside the grid are a family of their own. The others are marked "Holm: undecided".'
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
    tested = paper[paper.verdict != ABSENT]
    total = sum(not claim.ours for claim in claims.CLAIMS)
    beside = tested.key.isin([claim.key for claim in claims.CLAIMS if claim.experiment]).sum()
    by_others = f" and {beside} by experiments beside the grid" if beside else ""
    parts = [f"Of {total} statements of the paper, {len(tested) - beside} can be tested with these models{by_others}."]
    for verdict, lead in zip(PLAIN, ("Hold here", "Do not hold here"), strict=True):
        rows = tested[tested.verdict == verdict]
        lines = [f"- [{row.statement}](#claim-{row.key}) ({row.place}){taken_back(row)}" for row in rows.itertuples()]
        parts.append("\n".join([f"**{lead}: {len(rows)}**", "", *lines]))
    parts.append(f"**Undecided: {(tested.verdict == claims.VERDICTS[2]).sum()}**. Details are below.")
    parts.append(
        "*Holm: undecided* is a verdict that does not stand when all are to be right together (S. Holm, 1979)."
    )
    return Markdown("\n\n".join(parts))


def show(checked: pd.DataFrame, ours: bool = False) -> None:
    """Display the outcome of `save`: the paper's claims, or ours; with a count of the verdicts."""
    show_some(claims_of(checked, ours))


def show_some(some: pd.DataFrame) -> None:
    """Display checked claims, with a count of the verdicts."""
    counts = some.verdict.value_counts()
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in claims.VERDICTS if verdict in counts)
    lead = f"{len(some)} statements: {summary}. A click on one shows its numbers; n counts models, or pairs of them."
    display(HTML(f"<p>{lead}</p>\n{in_html(some)}\n<p>{errors_by_chance(some)}</p>"))


def in_another_regime(checked: pd.DataFrame, records: Records) -> HTML:
    """List the statements whose verdict is the opposite in the profile beside this one (`Profile.beside`).

    Those on experiments beside the grid rest on the same models in both.
    """
    if records.profile.beside is None:
        return HTML("<p>No other profile is set beside this one.</p>")
    try:
        other = records_of.load(records.profile.beside)
    except FileNotFoundError:
        return HTML(f"<p>The records of {records.profile.beside}, to be compared with these, are not here.</p>")
    asked = [claim for claim in claims.CLAIMS if claim.key in set(checked.key) and not claim.experiment]
    here, there = (frame.set_index("key") for frame in (checked, claims.check(other, asked)))
    here = here.loc[there.index]  # without the statements that only this grid has models for
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


def summarise(checked: pd.DataFrame, records: Records) -> Markdown:
    """Say in four sentences, the head of the report, what was found, and in which regime."""
    by_key = checked.set_index("key")
    profile, planned = records.profile, len(cells(records.profile))
    regime = (
        f"In this regime: {profile.regime} (epochs of autoencoder, LSTM and fine-tuning), C {profile.channels}; "
        f"{planned - len(records.missing)} of {planned} models on record (profile `{profile.name}`)."
    )
    if not profile.evidence:
        regime += f" **A {STAMP}**; the result is [the recorded report](../recorded/report.html)."
    sentences = [
        *([say_published(by_key)] if profile.cut else []),
        "**With their gradient restored**, "
        + say_corrected(
            by_key, "trains", "the network trains on", "the network hardly trains on",
            "the loss itself ends {} % {} its value before training", "below", digits=0,
        ),
        "**Against the STFT**, at the same number of epochs, "
        + say_corrected(
            by_key, "sounds-better", "SING sounds better on", "SING sounds no better on",
            "its mean grade (0 to 5) lies {} {} the STFT's", "above", digits=1,
        ),
        say_activations(by_key),
    ]  # fmt: skip
    if set(by_key.verdict[by_key.index.str.endswith("-trains")]) == {ABSENT}:
        del sentences[-2]  # it would say the same again
    return Markdown("\n".join([*(f"- {sentence}" for sentence in sentences), "", regime]))


def say_published(by_key: pd.DataFrame) -> str:
    """Say whether MFC and CQT, their gradient cut, moved any loss, and what these models sound like."""
    moves, sound = by_key.loc["published-autoencoder-constant"], by_key.loc["published-low"]
    if moves.verdict == ABSENT:
        return "**Whether MFC and CQT trained anything as published** is not on record yet."
    count = f"{moves.models} models"
    text = f"**As published, MFC and CQT trained nothing**: their gradient was lost, and no loss of {count} ever moved"
    if moves.verdict != "holds":
        text = f"**As published, MFC and CQT moved some loss**, by up to {moves['size']:.2%} in {count}"
    if sound.verdict != ABSENT:
        text += f"; the best of them sounds “{GRADES[int(sound['size'] + 0.5)]}” ([Table 3](#table-3))"
    return f"{text}."


def say_corrected(by_key: pd.DataFrame, what: str, holds: str, fails: str, finding: str, word: str, digits: int) -> str:
    """Say what came of a claim on each loss but the STFT, those of one verdict and side together, in `word`."""
    leads = {"holds": holds, "does not hold": fails, "undecided": f"it is undecided whether {holds}"}
    losses = {f"{loss.lower()}-{what}": loss for loss in LOSSES}
    each = by_key[by_key.index.isin(losses)].assign(loss=lambda rows: rows.index.map(losses))
    parts = []
    for (verdict, _, _), group in each.groupby(["verdict", "holm", each["size"] < 0], sort=False):
        losses, sizes = " and ".join(group.loss), " and ".join(f"{abs(size):.{digits}f}" for size in group["size"])
        parts.append(f"{leads.get(verdict, 'nothing is on record yet of')} {losses}{taken_back(group.iloc[0])}")
        if verdict in leads:
            parts[-1] += f": {finding.format(sizes, turned(word, group['size'].iloc[0]))}"
    return f"{'; '.join(parts)}."


def say_activations(by_key: pd.DataFrame) -> str:
    """Say how ELU and ReLU compare in the autoencoder and in the LSTM, beside what the paper says."""
    pairs, lstm = by_key.loc["elu-ends-lower-stft"], by_key.loc["lstm-relu-ends-lower"]
    sound = by_key.loc["relu-sounds-better"]
    if pairs.verdict == ABSENT or lstm.verdict == ABSENT:
        return "**ELU against ReLU** is not on record yet."
    text = (
        "**ELU against ReLU** (STFT, keys): the autoencoder ends lower with ELU in "
        f"{pairs['size'] * pairs.models / 100:.0f} of {pairs.models} pairs (the paper: in almost all); "
        f"ReLU's loss ends the LSTM stage {abs(lstm['size']):.0f} % {turned('below', lstm['size'])} ELU's "
        "(the paper: below)"
    )
    if sound.verdict != ABSENT:
        undecided, lead = sound.verdict == "undecided", round(abs(sound["size"]), 1)
        better, leads = "ReLU" if sound["size"] > 0 else "ELU", "is ahead" if undecided else "sounds better"
        text += "; over keys, mallet, voice and all three, "
        text += "neither is ahead" if undecided and not lead else f"{better} {leads} by {lead:.1f} of 5 grades"
        text += " (undecided)" if undecided else taken_back(sound)
    return f"{text}."
