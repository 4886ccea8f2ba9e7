"""Claims of ours on MFC and CQT training with the gradient restored, which the authors could not test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..grid import PAPER_LOSSES
from ..runs.records import Records
from .claim import claim
from .comparisons import (
    FLOW,
    STAGES_OF_TIME,
    facts,
    final_loss,
    loss_curves,
    mean_grades,
    pairs,
    percent_below,
    require_epochs,
)
from .sounds import lstm_and_grade
from .statistics import Effect, judge

TRAINS = 5.0  # % of the loss before training: clearly more than nothing
# Grades that twice the training may be worth at the most, where costs differ: from 150/150/60 to 200/200/80 epochs
# brass1-3 (STFT, ReLU) changed by less than 0.1.
DOUBLING = 1.0


def of_each_loss(
    key: str, place: str, statement: str, losses: tuple[str, ...] = PAPER_LOSSES[1:]
) -> Callable[[Callable[..., Effect]], Callable[..., Effect]]:
    """Make a claim for each corrected loss, for which {loss} stands."""
    makers = [
        claim(key.format(loss=loss.lower()), place, statement.format(loss=loss), ours=True, loss=loss)
        for loss in losses
    ]

    def register(measure: Callable[..., Effect]) -> Callable[..., Effect]:
        for make in makers:
            make(measure)
        return measure

    return register


@of_each_loss("{loss}-trains", "4", "With its gradient, the {loss} loss trains the network.")
def fall_in_training(records: Records, loss: str) -> Effect:
    """Fall of the autoencoder's training loss from before training to the end; more than {TRAINS:g} %."""
    losses = loss_curves(records, "autoencoder", spectrum=loss, training_loss=loss, **FLOW)
    losses = require_epochs(losses, 1)
    return judge(percent_below(final_loss(losses), losses[0]), "% of the loss", above=TRAINS, of="model")


@of_each_loss(
    "{loss}-sounds-better", "1.4.2, 4", "Trained on the corrected {loss} loss, SING sounds better than on the STFT."
)
def corrected_less_stft(records: Records, loss: str) -> Effect:
    """Mean grade less that of the STFT model, at the same number of epochs; more than 0."""
    corrected, stft = pairs(mean_grades(records, **FLOW), "training_loss", loss, "STFT")
    return judge(corrected - stft, "grades", above=0)


def training_seconds(records: Records) -> pd.Series:
    """Return what the training of each model took in all, by `KINDS` and device."""
    return sum(facts(records, stage, "device") for stage in STAGES_OF_TIME)


@of_each_loss(
    "{loss}-sounds-better-at-cost", "1.4.2, 4", "At equal cost, too, SING sounds better on the corrected {loss} loss."
)
def corrected_less_stft_at_cost(records: Records, loss: str) -> Effect:
    """Mean grade less that of the STFT model, less {DOUBLING:g} for each doubling of the training time; more than 0."""
    grades, seconds = mean_grades(records, **FLOW), training_seconds(records)
    corrected, stft = pairs(grades, "training_loss", loss, "STFT")
    cost = [part.droplevel("device") for part in pairs(seconds, "training_loss", loss, "STFT")]
    return judge(corrected - stft - DOUBLING * np.log2(cost[0] / cost[1]), "grades", above=0)


@of_each_loss("{loss}-costs-more", "2.4", "Training on the {loss} takes longer than on the STFT.")
def time_above_stft(records: Records, loss: str) -> Effect:
    """Seconds (CPU time, if on record) of all stages against the STFT model's, same device; more than 0."""
    seconds = pairs(training_seconds(records), "training_loss", loss, "STFT")
    return judge(-percent_below(*seconds), "% of STFT's time", above=0)


@of_each_loss(
    "{loss}-own-lower", "2.4, 4", "Trained on the corrected {loss}, SING ends at a lower {loss} loss than on the STFT."
)
def own_below_stft(records: Records, loss: str) -> Effect:
    """{loss} loss at the end of the fine-tuning: how far it is below that of STFT training; more than 0."""
    ends = final_loss(loss_curves(records, "fine-tuning", spectrum=loss, **FLOW))
    below = percent_below(*pairs(ends, "training_loss", loss, "STFT"))
    return judge(below, "% of the loss in STFT training", above=0)


@claim("corrected-relu-sounds-better", "4", "Under the corrected losses, too, ReLU sounds better than ELU.", ours=True)
def relu_less_elu(records: Records) -> Effect:
    """Mean grade of ReLU less that of ELU, MFC and CQT; more than 0."""
    relu, elu = pairs(mean_grades(records, training_loss=("MFC", "CQT"), **FLOW), "activation", "ReLU", "ELU")
    return judge(relu - elu, "grades", above=0)


@of_each_loss(
    "{loss}-lstm-goes-with-grade",
    "4",
    "Under the corrected {loss}, too, a lower loss in the LSTM goes with a better sound.",
)
def correlation_of_lstm(records: Records, loss: str) -> Effect:
    """Rank correlation of the LSTM's last STFT loss with the mean grade, {loss} models, within sets; below 0."""
    return lstm_and_grade(records, loss)


@of_each_loss(
    "{loss}-lowers-stft-faster",
    "2.4",
    "Training on the {loss} lowers the STFT loss faster than training on the STFT.",
    ("CQT", "MFC"),
)
def mean_below_stft(records: Records, loss: str) -> Effect:
    """STFT loss of the autoencoder, mean over the epochs: how far it is below that of STFT training; more than 0."""
    losses = require_epochs(loss_curves(records, "autoencoder", spectrum="STFT", **FLOW), 2).drop(columns=0)
    below = percent_below(*pairs(losses.mean(axis=1), "training_loss", loss, "STFT"))
    return judge(below, "% of the loss in STFT training", above=0)
