"""Claims of ours on ELU, which the authors could not test: its a, its speed and cost, the mean of its activations."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ..runs.records import Records
from .claim import claim
from .comparisons import FLOW, facts, final_loss, loss_curves, pairs
from .curves import epochs_needed, epochs_saved
from .statistics import ABOVE, BELOW, Effect, judge

ours = partial(claim, ours=True)


@ours(
    "alpha-10-ends-higher",
    "1.4.1",
    "With a = 10, as the paper prints it, ELU ends at a higher loss than with a = 1.",
    models={"elu_alpha": 10.0},
)
def ten_above_one(records: Records) -> Effect:
    """How far the autoencoder's training loss ends above that with a = 1; more than 0."""
    losses = loss_curves(records, "autoencoder", role="train", activation="ELU", elu_alpha=(1.0, 10.0))
    higher = ABOVE.of(*pairs(final_loss(losses), "elu_alpha", 10.0, 1.0))
    return judge(higher, "% of the loss with a = 1", above=0, ratio=ABOVE)


def seconds_per_epoch(records: Records) -> tuple[pd.Series, pd.Series]:
    """Return the seconds that an epoch of the autoencoder takes with ELU and ReLU, of pairs on the same device."""
    losses = loss_curves(records, "autoencoder", role="train", **FLOW)
    epochs = losses.notna().sum(axis=1) - 1  # less epoch 0, not trained
    seconds = facts(records, "seconds_autoencoder", "device").div(epochs)
    elu, relu = pairs(seconds, "activation", "ELU", "ReLU")
    return elu.droplevel("device"), relu.droplevel("device")


ours("elu-fewer-epochs", "1.4.1", "ELU needs fewer epochs than ReLU to reach the same loss, whichever it is.")(
    epochs_saved
)


@ours("elu-less-time", "1.4.1", "ELU needs less time than ReLU to reach the same loss.")
def time_saved(records: Records) -> Effect:
    """How far ELU's time to the higher of both final losses lies below ReLU's on the same device; more than 0."""
    both = zip(epochs_needed(records), seconds_per_epoch(records), strict=True)
    elu, relu = (epochs.mul(seconds).dropna() for epochs, seconds in both)
    return judge(BELOW.of(elu, relu), "% of ReLU's time", above=0, ratio=BELOW)


@ours("elu-costs-more", "1.4.1", "An epoch takes longer with ELU than with ReLU.")
def time_above_relu(records: Records) -> Effect:
    """How far ELU's time for an epoch of the autoencoder lies above ReLU's on the same device; more than 0."""
    return judge(ABOVE.of(*seconds_per_epoch(records)), "% of ReLU's time", above=0, ratio=ABOVE)


@ours("elu-nearer-zero", "1.4.1", "ELU keeps the mean of its activations closer to zero than ReLU.")
def distance_from_zero(records: Records) -> Effect:
    """How far the distance of ELU's mean activation from zero lies below ReLU's; more than 0."""
    distance = facts(records, "activation_mean").abs() / facts(records, "activation_std")
    elu, relu = pairs(distance, "activation", "ELU", "ReLU")
    return judge(relu - elu, "standard deviations", above=0)
