"""What was found, in four sentences computed from the claims of a profile: the head of the report."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown

from ..grading.grades import GRADES
from ..grid import cells
from ..runs.records import Records
from .figures import STAMP

ABSENT = "cannot be tested"
CORRECTED = ("MFC", "CQT")


def summary(checked: pd.DataFrame, records: Records) -> Markdown:
    """Return the sentences in Markdown, with the regime that they are of.

    Parameters
    ----------
    checked : DataFrame
        Of `singlib.claims.check`.
    records : Records
        What it was made from.
    """
    claims = checked.set_index("key")
    profile, planned = records.profile, len(cells(records.profile))
    regime = (
        f"In this regime: {profile.regime} (epochs of autoencoder, LSTM and fine-tuning), C {profile.channels}; "
        f"{planned - len(records.missing)} of {planned} models on record (profile `{profile.name}`)."
    )
    if not profile.evidence:
        regime += f" **A {STAMP}**; the result is [the recorded report](../recorded/report.html)."
    sentences = [as_published(claims), with_gradient(claims), against_stft(claims), activations(claims)]
    if set(claims.verdict[[f"{loss.lower()}-trains" for loss in CORRECTED]]) == {ABSENT}:
        del sentences[2]  # it would say the same again
    return Markdown("\n".join([*(f"- {sentence}" for sentence in sentences), "", regime]))


def as_published(claims: pd.DataFrame) -> str:
    """Say whether MFC and CQT, their gradient cut, moved any loss, and what these models sound like."""
    moves, sound = claims.loc["published-autoencoder-constant"], claims.loc["published-low"]
    if moves.verdict == ABSENT:
        return "**Whether MFC and CQT trained anything as published** is not on record yet."
    count = f"{moves.models} models"
    text = f"**As published, MFC and CQT trained nothing**: their gradient was lost, and no loss of {count} ever moved"
    if moves.verdict != "holds":
        text = f"**As published, MFC and CQT moved some loss**, by up to {moves['size']:.2%} in {count}"
    if sound.verdict != ABSENT:
        text += f"; the best of them sounds “{GRADES[int(sound['size'] + 0.5)]}” ([Table 3](#table-3))"
    return f"{text}."


def with_gradient(claims: pd.DataFrame) -> str:
    """Say whether the network trains on each of them with its gradient."""
    return "**With their gradient restored**, " + by_verdict(
        claims,
        "trains",
        {
            "holds": "the network trains on {}: the loss itself falls by {}",
            "does not hold": "the network hardly trains on {}: the loss itself falls by {}",
            "undecided": "it is undecided whether the network trains on {}: the loss itself falls by {}",
        },
        "{:.0f} %".format,
    )


def against_stft(claims: pd.DataFrame) -> str:
    """Say whether SING sounds better with each of them than with the STFT."""
    return "**Against the STFT**, at the same number of epochs, " + by_verdict(
        claims,
        "sounds-better",
        {
            "holds": "SING sounds better on {}: {} of 5 grades higher",
            "does not hold": "SING sounds no better on {}: {} of 5 grades lower",
            "undecided": "it is undecided whether SING sounds better on {}: {} of 5 grades apart",
        },
        lambda size: f"{abs(size):.1f}",
    )


def by_verdict(claims: pd.DataFrame, what: str, phrases: dict[str, str], number: Callable[[float], str]) -> str:
    """Say of the corrected losses what came of a claim, those with the same verdict together, with the sizes."""
    each = claims.loc[[f"{loss.lower()}-{what}" for loss in CORRECTED]].assign(loss=CORRECTED)
    parts = []
    for verdict, group in each.groupby("verdict", sort=False):
        phrase = phrases.get(verdict, "nothing is on record yet of {}")
        parts.append(phrase.format(" and ".join(group.loss), " and ".join(map(number, group["size"]))))
    return f"{'; '.join(parts)}."


def activations(claims: pd.DataFrame) -> str:
    """Say how ELU and ReLU compare in the autoencoder and in the LSTM, beside what the paper says."""
    pairs, lstm = claims.loc["elu-ends-lower-stft"], claims.loc["lstm-relu-ends-lower"]
    sound = claims.loc["relu-sounds-better"]
    if pairs.verdict == ABSENT or lstm.verdict == ABSENT:
        return "**ELU against ReLU** is not on record yet."
    where = "lower" if lstm["size"] > 0 else "higher"
    text = (
        "**ELU against ReLU** (STFT, keys): the autoencoder ends lower with ELU in "
        f"{pairs['size'] * pairs.models / 100:.0f} of {pairs.models} pairs (the paper: in almost all); "
        f"the loss of the LSTM ends {abs(lstm['size']):.0f} % {where} "
        "with ReLU than with ELU (the paper: lower)"
    )
    if sound.verdict != ABSENT:
        better = "ReLU" if sound["size"] > 0 else "ELU"
        text += f"; {better} sounds better, by {abs(sound['size']):.1f} of 5 grades"
        text += " (undecided)" if sound.verdict == "undecided" else ""
    return f"{text}."
