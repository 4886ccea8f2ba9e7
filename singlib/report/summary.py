"""What was found, in four sentences computed from the claims of a profile: the head of the report."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from ..grading.grades import GRADES
from ..grid import cells
from ..runs.records import Records
from .figures import STAMP
from .verdicts import turned

ABSENT = "cannot be tested"
CORRECTED = ("MFC", "CQT")


def summary(checked: pd.DataFrame, records: Records) -> Markdown:
    """Return the sentences in Markdown, with the regime that they are of; `checked` is `singlib.claims.check`'s."""
    claims = checked.set_index("key")
    profile, planned = records.profile, len(cells(records.profile))
    regime = (
        f"In this regime: {profile.regime} (epochs of autoencoder, LSTM and fine-tuning), C {profile.channels}; "
        f"{planned - len(records.missing)} of {planned} models on record (profile `{profile.name}`)."
    )
    if not profile.evidence:
        regime += f" **A {STAMP}**; the result is [the recorded report](../recorded/report.html)."
    sentences = [
        say_published(claims),
        "**With their gradient restored**, "
        + say_corrected(
            claims, "trains", "the network trains on", "the network hardly trains on",
            "the loss itself ends {} % {} its value before training", "below", digits=0,
        ),
        "**Against the STFT**, at the same number of epochs, "
        + say_corrected(
            claims, "sounds-better", "SING sounds better on", "SING sounds no better on",
            "its mean grade (0 to 5) lies {} {} the STFT's", "above", digits=1,
        ),
        say_activations(claims),
    ]  # fmt: skip
    if set(claims.verdict[[f"{loss.lower()}-trains" for loss in CORRECTED]]) == {ABSENT}:
        del sentences[2]  # it would say the same again
    return Markdown("\n".join([*(f"- {sentence}" for sentence in sentences), "", regime]))


def say_published(claims: pd.DataFrame) -> str:
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


def say_corrected(claims: pd.DataFrame, what: str, holds: str, fails: str, finding: str, word: str, digits: int) -> str:
    """Say what came of a claim on each corrected loss, of those with one verdict and on one side together.

    `finding` has a place for the sizes and one for `word`, or its opposite for negative sizes.
    """
    leads = {"holds": holds, "does not hold": fails, "undecided": f"it is undecided whether {holds}"}
    each = claims.loc[[f"{loss.lower()}-{what}" for loss in CORRECTED]].assign(loss=CORRECTED)
    parts = []
    for (verdict, _), group in each.groupby(["verdict", each["size"] < 0], sort=False):
        losses, sizes = " and ".join(group.loss), " and ".join(f"{abs(size):.{digits}f}" for size in group["size"])
        parts.append(f"{leads.get(verdict, 'nothing is on record yet of')} {losses}")
        if verdict in leads:
            parts[-1] += f": {finding.format(sizes, turned(word, group['size'].iloc[0]))}"
    return f"{'; '.join(parts)}."


def say_activations(claims: pd.DataFrame) -> str:
    """Say how ELU and ReLU compare in the autoencoder and in the LSTM, beside what the paper says."""
    pairs, lstm = claims.loc["elu-ends-lower-stft"], claims.loc["lstm-relu-ends-lower"]
    sound = claims.loc["relu-sounds-better"]
    if pairs.verdict == ABSENT or lstm.verdict == ABSENT:
        return "**ELU against ReLU** is not on record yet."
    text = (
        "**ELU against ReLU** (STFT, keys): the autoencoder ends lower with ELU in "
        f"{pairs['size'] * pairs.models / 100:.0f} of {pairs.models} pairs (the paper: in almost all); "
        f"ReLU's loss ends the LSTM stage {abs(lstm['size']):.0f} % {turned('below', lstm['size'])} ELU's "
        "(the paper: below)"
    )
    if sound.verdict != ABSENT:
        better = "ReLU" if sound["size"] > 0 else "ELU"
        text += f"; {better} sounds better, by {abs(sound['size']):.1f} of 5 grades"
        text += " (undecided)" if sound.verdict == "undecided" else ""
    return f"{text}."
