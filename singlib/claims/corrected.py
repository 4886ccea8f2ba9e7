"""Claims of ours on other losses than the STFT, which the authors could not test: MFC, CQT and MRSTFT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..grid import LOSSES, PAPER_LOSSES
from ..runs.records import Records
from .claim import Measure, claim
from .comparisons import (
    FLOW,
    KINDS,
    final_loss,
    loss_curves,
    mean_grades,
    pairs,
    require_epochs,
    seconds_beside_stft,
    select,
)
from .sounds import correlation_of_lstm, lead_in_grade
from .statistics import ABOVE, BELOW, Effect, judge

CORRECTED, OTHERS = PAPER_LOSSES[1:], LOSSES[1:]  # MFC and CQT; and the MRSTFT, which is not the paper's
TRAINS = 5.0  # % of the loss before training: clearly more than nothing
# Grades that twice the training may be worth at the most, where costs differ. What was seen lies between none (k+m+v)
# and half a grade (keys): data/recorded-best/README.md.
DOUBLING = 1.0


def claim_of_each_loss(
    key: str, place: str, statement: str, losses: tuple[str, ...] = OTHERS
) -> Callable[[Measure], Measure]:
    """Make a claim for each loss, for which {loss} stands; of a paper's loss, it is about its corrected models."""

    def register(measure: Measure) -> Measure:
        for loss in losses:
            which = f"corrected {loss}" if loss in CORRECTED else loss
            texts = key.format(loss=loss.lower()), place, statement.format(loss=loss, which=which)
            claim(*texts, ours=True, models={"loss": loss}, loss=loss)(measure)
        return measure

    return register


@claim_of_each_loss("{loss}-trains", "4", "With its gradient restored, the {loss} loss trains the network.", CORRECTED)
def fall_in_training(records: Records, loss: str) -> Effect:
    """How far the autoencoder's {loss} loss ends below its value before training; more than {TRAINS:g} %."""
    losses = require_epochs(loss_curves(records, "autoencoder", spectrum=loss, training_loss=loss, **FLOW), 1)
    fall = BELOW.of(final_loss(losses), losses[0])
    return judge(fall, "% of the loss", above=TRAINS, of="model", ratio=BELOW)


@claim_of_each_loss(
    "{loss}-sounds-better", "1.4.2, 4", "SING sounds better when trained on the {which} than on the STFT."
)
def lead_over_stft(records: Records, loss: str) -> Effect:
    """How far the mean grade on the {loss} lies above that on the STFT after as many epochs; more than 0."""
    return lead_in_grade(records, "training_loss", loss, "STFT", **FLOW)


@claim_of_each_loss(
    "{loss}-sounds-better-at-cost",
    "1.4.2, 4",
    "At equal cost, too, SING sounds better when trained on the {which} than on the STFT.",
)
def lead_over_stft_at_cost(records: Records, loss: str) -> Effect:
    """How far the mean grade, less 0 to {DOUBLING:g} for each doubling of the time, lies above the STFT's; more than 0.

    What is shown is the end that is harder for the verdict; where the ends differ in theirs, nothing is decided.
    """
    corrected, stft = pairs(mean_grades(records, **FLOW), "training_loss", loss, "STFT")
    seconds, of_stft = seconds_beside_stft(records, loss)
    lead, doublings = (corrected - stft).align(np.log2(seconds / of_stft), join="inner")
    low, high = sorted(
        (judge(lead - worth * doublings, "grades", above=0) for worth in (0, DOUBLING)), key=lambda effect: effect.size
    )
    if low.verdict == high.verdict:
        return high if low.verdict == "does not hold" else low
    other = f"{high.size:.2g} [{high.lowest:.2g}, {high.highest:.2g}] at the other end"
    return replace(low, verdict="undecided", p=1.0, reason=f"it hangs on what a doubling is worth: {other}")


@claim_of_each_loss("{loss}-costs-more", "2.4", "Training on the {loss} takes longer than on the STFT.")
def time_above_stft(records: Records, loss: str) -> Effect:
    """How far the training time (CPU time, if on record) lies above the STFT's mean on the same device; more than 0."""
    longer = ABOVE.of(*seconds_beside_stft(records, loss))
    return judge(longer, "% of STFT's time", above=0, of="model", ratio=ABOVE)


@claim_of_each_loss(
    "{loss}-own-lower",
    "2.4, 4",
    "Training on the corrected {loss} ends at a lower {loss} loss than on the STFT.",
    CORRECTED,
)
def own_below_stft(records: Records, loss: str) -> Effect:
    """How far the {loss} loss ends the fine-tuning below that of STFT training; more than 0."""
    ends = final_loss(loss_curves(records, "fine-tuning", spectrum=loss, **FLOW))
    lower = BELOW.of(*pairs(ends, "training_loss", loss, "STFT"))
    return judge(lower, "% of the loss in STFT training", above=0, ratio=BELOW)


@claim("corrected-relu-sounds-better", "4", "Under the corrected losses, too, ReLU sounds better than ELU.", ours=True)
def lead_of_relu(records: Records) -> Effect:
    """How far the mean grade of ReLU lies above that of ELU, on the MFC and the CQT; more than 0."""
    return lead_in_grade(records, "activation", "ReLU", "ELU", **{"training_loss": CORRECTED} | FLOW)


claim_of_each_loss(
    "{loss}-lstm-goes-with-grade",
    "4",
    "Under the corrected {loss}, too, a lower LSTM loss goes with better sound.",
    CORRECTED,
)(correlation_of_lstm)


@claim_of_each_loss(
    "{loss}-lowers-stft-faster",
    "2.4",
    "Training on the {loss} lowers the STFT loss faster than training on the STFT.",
    ("CQT", "MFC", "MRSTFT"),
)
def mean_below_stft(records: Records, loss: str) -> Effect:
    """How far the autoencoder's STFT loss, averaged over the epochs, lies below that of STFT training; more than 0."""
    losses = require_epochs(loss_curves(records, "autoencoder", spectrum="STFT", **FLOW), 2).drop(columns=0)
    lower = BELOW.of(*pairs(losses.mean(axis=1), "training_loss", loss, "STFT"))
    return judge(lower, "% of the loss in STFT training", above=0, ratio=BELOW)


@claim_of_each_loss(
    "{loss}-less-noise",
    "4",
    "Training on the {loss}, whose windows are up to four times as long, leaves less noise between the partials than "
    "on the STFT.",
    ("MRSTFT",),
)
def noise_below_stft(records: Records, loss: str) -> Effect:
    """How far the noise between partials lies below that of STFT training, in dB of a note's power; more than 0."""
    notes = select(records.quality, **FLOW)
    noise = notes.noise.groupby([notes[kind] for kind in KINDS]).mean()
    other, stft = pairs(noise, "training_loss", loss, "STFT")
    return judge(stft - other, "dB", above=0)
