"""What the authors left open, and what these records add: corrected losses, ELU's a, the speed of convergence.

Pairs agree in all but the kind that is compared, the seed included, and so start from the same weights
(but for the spread that an activation itself makes).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..grid import PAPER_ACTIVATIONS
from ..runs.records import Records
from .effects import KINDS, STAGES_OF_TIME, chosen, claims_of, curves, end, epochs_to, lower, needs, pairs, scores
from .statistics import Effect, Untestable, judge, rank_correlation

TRAINS = 5.0  # % of the loss before training: clearly more than nothing
# Grades that twice the training may be worth at the most, where costs differ: from 150/150/60 to 200/200/80 epochs
# brass1-3 (STFT, ReLU) changed by less than 0.1.
DOUBLING = 1.0
FLOW = {"gradient": "flow", "activation": PAPER_ACTIVATIONS}


def trains(records: Records, loss: str) -> Effect:
    """Measure how far the autoencoder's training loss falls when its gradient flows."""
    losses = needs(curves(records, "autoencoder", spectrum=loss, training_loss=loss, **FLOW), 1)
    return judge(lower(end(losses), losses[0]), "% of the loss", above=TRAINS, of="model")


def sounds_better(records: Records, loss: str) -> Effect:
    """Measure by how many grades a corrected loss sounds better than the STFT, at the same epochs."""
    corrected, stft = pairs(scores(records, **FLOW), "training_loss", loss, "STFT")
    return judge(corrected - stft, "grades", above=0)


def sounds_better_at_cost(records: Records, loss: str) -> Effect:
    """Measure the same at equal cost: what the time that the STFT is cheaper by could be worth is taken away."""
    heard, cost = scores(records, **FLOW), seconds(records)
    grades = pairs(heard, "training_loss", loss, "STFT")
    corrected, stft = (part.droplevel("device") for part in pairs(cost, "training_loss", loss, "STFT"))
    return judge(grades[0] - grades[1] - DOUBLING * np.log2(corrected / stft), "grades", above=0)


def seconds(records: Records) -> pd.Series:
    """Return what the training of each model took in all, by `KINDS` and device."""
    return sum(facts(records, stage, "device") for stage in STAGES_OF_TIME)


def costs_more_time(records: Records, loss: str) -> Effect:
    """Measure how much more time training on a corrected loss takes, of pairs on the same device."""
    return judge(-lower(*pairs(seconds(records), "training_loss", loss, "STFT")), "% of STFT's time", above=0)


def own_ends_lower(records: Records, loss: str) -> Effect:
    """Measure how far below STFT training a corrected loss ends in its own spectrum, after the fine-tuning."""
    ends = end(curves(records, "fine-tuning", spectrum=loss, **FLOW))
    return judge(lower(*pairs(ends, "training_loss", loss, "STFT")), "% of the loss in STFT training", above=0)


def relu_sounds_better(records: Records) -> Effect:
    """Measure by how many grades ReLU sounds better than ELU under the corrected losses."""
    heard = scores(records, training_loss=("MFC", "CQT"), **FLOW)
    relu, elu = pairs(heard, "activation", "ReLU", "ELU")
    return judge(relu - elu, "grades", above=0)


def lstm_and_grade(records: Records, loss: str, rather_than: str | None = None) -> Effect:
    """Correlate the STFT loss at the end of the LSTM stage with the grade, over the models trained on one loss.

    Models are compared with those of the same instruments: a loud instrument has higher losses, whatever it sounds
    like. Those whose gradient was cut are left out: they are bad in every stage, whichever matters. With `rather_than`,
    the same correlation of another stage is taken away.
    """
    trained = {"gradient": "flow", "activation": PAPER_ACTIVATIONS, "training_loss": loss}
    lstm, other = (
        within_sets(np.log(end(curves(records, stage, spectrum="STFT", **trained)))) if stage else None
        for stage in ("lstm", rather_than)
    )
    return rank_correlation(lstm, within_sets(scores(records, **trained)), below=0, less=other)


def within_sets(values: pd.Series) -> pd.Series:
    """Return each model's value less the mean of its instrument set; a model alone in its set is left out."""
    sets = values.groupby("instruments")
    return (values - sets.transform("mean"))[sets.transform("size") > 1]


def ten_ends_higher(records: Records) -> Effect:
    """Measure how far above a = 1 the autoencoder's training loss ends with a = 10."""
    ends = end(curves(records, "autoencoder", role="train", activation="ELU", elu_alpha=(1.0, 10.0)))
    ten, one = pairs(ends, "elu_alpha", 10.0, 1.0)
    return judge(-lower(ten, one), "% of the loss with a = 1", above=0)


def lowers_stft_faster(records: Records, loss: str) -> Effect:
    """Measure how far below STFT training another loss keeps the STFT loss, on the mean over the epochs as trained."""
    losses = needs(curves(records, "autoencoder", spectrum="STFT", **FLOW), 2).drop(columns=0)
    other, stft = pairs(losses.mean(axis=1), "training_loss", loss, "STFT")
    return judge(lower(other, stft), "% of the loss in STFT training", above=0)


def epochs_needed(records: Records) -> tuple[pd.Series, pd.Series]:
    """Return the epochs in which ELU and ReLU get as low as the worse of the two ends, on their training loss."""
    losses = needs(curves(records, "autoencoder", role="train", **FLOW), 2)
    elu, relu = pairs(losses, "activation", "ELU", "ReLU")
    level = pd.concat([end(elu), end(relu)], axis=1).max(axis=1)
    return epochs_to(elu, level), epochs_to(relu, level)


def seconds_an_epoch(records: Records) -> tuple[pd.Series, pd.Series]:
    """Return the seconds that an epoch of the autoencoder takes with ELU and ReLU, of pairs on the same device."""
    last = curves(records, "autoencoder", role="train", **FLOW).notna().sum(axis=1) - 1  # less epoch 0, not trained
    seconds = facts(records, "seconds_autoencoder", "device").div(last)
    elu, relu = pairs(seconds, "activation", "ELU", "ReLU")
    return elu.droplevel("device"), relu.droplevel("device")


def facts(records: Records, column: str, *more: str) -> pd.Series:
    """Return what is known of each trained model, by `KINDS` and more columns."""
    known = chosen(records.about, **FLOW)
    if column not in known:
        raise Untestable(f"{column} is not on record")
    return known.set_index([*KINDS, *more])[column].dropna()


def fewer_epochs(records: Records) -> Effect:
    """Measure how many epochs earlier ELU is at a loss that both reach."""
    elu, relu = epochs_needed(records)
    return judge(relu - elu, "epochs", above=0)


def less_time(records: Records) -> Effect:
    """Measure how much less time ELU takes to a loss that both reach."""
    needed, cost = epochs_needed(records), seconds_an_epoch(records)
    elu, relu = (epochs.mul(seconds).dropna() for epochs, seconds in zip(needed, cost, strict=True))
    return judge(lower(elu, relu), "% of ReLU's time", above=0)


def costs_more(records: Records) -> Effect:
    """Measure how much more time an epoch of the autoencoder takes with ELU."""
    return judge(-lower(*seconds_an_epoch(records)), "% of ReLU's time", above=0)


def nearer_zero(records: Records) -> Effect:
    """Measure how much nearer to zero ELU's mean activation is, in standard deviations."""
    offset = facts(records, "activation_mean").abs() / facts(records, "activation_std")
    elu, relu = pairs(offset, "activation", "ELU", "ReLU")
    return judge(relu - elu, "standard deviations", above=0)


# fmt: off
EXPERIMENTS = claims_of(
    ("mfc-trains", "4", "With its gradient, the MFC loss trains the network.",
     f"Fall of the autoencoder's training loss from before training to the end; more than {TRAINS:g} %.",
     trains, "MFC"),
    ("cqt-trains", "4", "With its gradient, the CQT loss trains the network.",
     f"Fall of the autoencoder's training loss from before training to the end; more than {TRAINS:g} %.",
     trains, "CQT"),
    ("mfc-sounds-better", "1.4.2, 4", "Trained on the corrected MFC loss, SING sounds better than on the STFT.",
     "Mean grade less that of the STFT model, at the same number of epochs; more than 0.",
     sounds_better, "MFC"),
    ("cqt-sounds-better", "1.4.2, 4", "Trained on the corrected CQT loss, SING sounds better than on the STFT.",
     "Mean grade less that of the STFT model, at the same number of epochs; more than 0.",
     sounds_better, "CQT"),
    ("mfc-sounds-better-at-cost", "1.4.2, 4", "At equal cost, too, SING sounds better on the corrected MFC loss.",
     f"The same less {DOUBLING:g} grades for each doubling of the time that its training takes longer; more than 0.",
     sounds_better_at_cost, "MFC"),
    ("cqt-sounds-better-at-cost", "1.4.2, 4", "At equal cost, too, SING sounds better on the corrected CQT loss.",
     f"The same less {DOUBLING:g} grades for each doubling of the time that its training takes longer; more than 0.",
     sounds_better_at_cost, "CQT"),
    ("mfc-costs-more", "2.4", "Training on the MFC takes longer than on the STFT.",
     "Seconds (CPU time, if on record) of all stages against the STFT model's, same device; more than 0.",
     costs_more_time, "MFC"),
    ("cqt-costs-more", "2.4", "Training on the CQT takes longer than on the STFT.",
     "Seconds (CPU time, if on record) of all stages against the STFT model's, same device; more than 0.",
     costs_more_time, "CQT"),
    ("mfc-own-lower", "2.4, 4", "Trained on the corrected MFC, SING ends at a lower MFC loss than on the STFT.",
     "MFC loss at the end of the fine-tuning: how far it is below that of STFT training; more than 0.",
     own_ends_lower, "MFC"),
    ("cqt-own-lower", "2.4, 4", "Trained on the corrected CQT, SING ends at a lower CQT loss than on the STFT.",
     "CQT loss at the end of the fine-tuning: how far it is below that of STFT training; more than 0.",
     own_ends_lower, "CQT"),
    ("corrected-relu-sounds-better", "4", "Under the corrected losses, too, ReLU sounds better than ELU.",
     "Mean grade of ReLU less that of ELU, MFC and CQT; more than 0.",
     relu_sounds_better),
    ("mfc-lstm-goes-with-grade", "4",
     "Under the corrected MFC, too, a lower loss in the LSTM goes with a better sound.",
     "Rank correlation of the LSTM's last STFT loss with the mean grade, MFC models, within sets; below 0.",
     lstm_and_grade, "MFC"),
    ("cqt-lstm-goes-with-grade", "4",
     "Under the corrected CQT, too, a lower loss in the LSTM goes with a better sound.",
     "Rank correlation of the LSTM's last STFT loss with the mean grade, CQT models, within sets; below 0.",
     lstm_and_grade, "CQT"),
    ("cqt-lowers-stft-faster", "2.4", "Training on the CQT lowers the STFT loss faster than training on the STFT.",
     "STFT loss of the autoencoder, mean over the epochs: how far it is below that of STFT training; more than 0.",
     lowers_stft_faster, "CQT"),
    ("mfc-lowers-stft-faster", "2.4", "Training on the MFC lowers the STFT loss faster than training on the STFT.",
     "STFT loss of the autoencoder, mean over the epochs: how far it is below that of STFT training; more than 0.",
     lowers_stft_faster, "MFC"),
    ("alpha-10-ends-higher", "1.4.1", "With the a = 10 of the text, ELU ends at a higher loss than with a = 1.",
     "How far above a = 1 the autoencoder's training loss ends; more than 0.",
     ten_ends_higher),
    ("elu-fewer-epochs", "1.4.1, 4", "ELU needs fewer epochs than ReLU to the same loss.",
     "Epochs of ReLU less those of ELU to the worse of both ends, autoencoder, training loss; more than 0.",
     fewer_epochs),
    ("elu-less-time", "1.4.1", "ELU needs less time than ReLU to the same loss.",
     "The same in time: epochs needed, times the seconds of an epoch, on the same device; more than 0.",
     less_time),
    ("elu-costs-more", "1.4.1", "An epoch takes longer with ELU than with ReLU.",
     "Seconds of an epoch of the autoencoder against those of ReLU, on the same device; more than 0.",
     costs_more),
    ("elu-nearer-zero", "1.4.1", "ELU keeps activations nearer to zero mean than ReLU.",
     "Distance of the mean from zero over the standard deviation: ReLU's less ELU's; more than 0.",
     nearer_zero),
    ours=True,
)
# fmt: on
