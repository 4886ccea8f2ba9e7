"""Claims of section 3.1 of the paper: what it says of the loss curves.

The first point of the authors' curves is taken to be the first epoch as trained (our epoch 1): were it an evaluation
before training (our epoch 0), ELU could not end the LSTM stage above ReLU and start the fine-tuning, which goes on from
there, below it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..grid import BRASS_SETS, PAPER_ACTIVATIONS, PAPER_LOSSES
from ..runs.records import Records
from .claim import claim
from .comparisons import (
    AS_PUBLISHED,
    FLOW,
    STFT,
    epochs_until,
    final_loss,
    loss_curves,
    pairs,
    require_epochs,
    require_sets,
)
from .statistics import ABOVE, BELOW, Effect, Untestable, judge, judge_almost_all, judge_each, judge_largest

FLAT = 1e-5  # relative: float32 rounds a mean over notes to some 1e-7, and one step of Adam changes more than this
MOVES = 1.0  # % of the loss before training: far more than epochs differ by the order of their notes
STEADY = 5.0  # % of the loss: less is lost in the thickness of the authors' lines
ALIKE = 10.0  # %: "roughly the same point", "the level of the others"
REST = 10  # epochs of a plateau that is looked for: half of the authors' 20
BEGINNING = 5  # the epochs in which the losses come down from their start
LOSS = "% of the loss"


def keys_curves(
    records: Records, stage: str, epochs: int, spectrum: str = "STFT", activation: str | tuple = PAPER_ACTIVATIONS
) -> pd.DataFrame:
    """Return the curves of the keys models trained on the STFT that run for so many epochs."""
    kind = {"instruments": "keys", "training_loss": "STFT", "activation": activation}
    return require_epochs(loss_curves(records, stage, spectrum=spectrum, **kind), epochs)


@claim(
    "published-autoencoder-constant",
    "3.1, Figs. 1-3, 5, 6",
    "As published, training on the MFC or the CQT changes no loss at all.",
    models=AS_PUBLISHED,
    stage="autoencoder",
)
@claim(
    "published-fine-tuning-constant",
    "4",
    "As published, fine-tuning on the MFC or the CQT changes no loss.",
    models=AS_PUBLISHED,
    stage="fine-tuning",
)
def range_as_published(records: Records, stage: str) -> Effect:
    """Largest relative change of any loss in the {stage} stage of any model; below {FLAT:g}."""
    ranges = []
    for spectrum in PAPER_LOSSES:
        losses = loss_curves(records, stage, spectrum=spectrum, published=True, **AS_PUBLISHED)
        ranges.append((losses.max(axis=1) - losses.min(axis=1)) / losses.mean(axis=1).abs())
    return judge_largest(pd.concat(ranges, axis=1).max(axis=1), "of the loss (1 = all of it)", below=FLAT)


@claim("stft-moves-mfc", "3.1, Fig. 2", "Training on the STFT lowers the MFC loss, too.", spectrum="MFC")
@claim("stft-moves-cqt", "3.1, Fig. 3", "Training on the STFT lowers the CQT loss, too.", spectrum="CQT")
def fall_in_stft_training(records: Records, spectrum: str) -> Effect:
    """How far ReLU's or ELU's {spectrum} loss, whichever falls less, ends below its start; more than {MOVES:g} %.

    Its start is before training, epoch 0.
    """
    losses = keys_curves(records, "autoencoder", 2, spectrum)
    falls = BELOW.of(final_loss(losses), losses[0]).groupby("activation")
    return judge_each([judge(values, LOSS, above=MOVES, of="model", ratio=BELOW) for _, values in falls])


def elu_and_others(records: Records) -> list[tuple[pd.DataFrame, pd.Series]]:
    """Return the STFT/ELU curves of Figures 1, 2 and 3, and the mean of all the others in each."""
    figures = []
    for spectrum in PAPER_LOSSES:
        losses = loss_curves(records, "autoencoder", spectrum=spectrum, instruments="keys", published=True)
        losses = require_epochs(losses, 1)
        kinds = losses.index.to_frame()
        own = (kinds.training_loss == "STFT") & (kinds.activation == "ELU")
        if own.all() or not own.any():
            raise Untestable("needs STFT/ELU and other models")
        figures.append((losses[own], losses[~own].mean()))
    return figures


@claim("elu-starts-higher", "3.1, Figs. 1-3, 7", "STFT/ELU starts at higher losses than the other models.")
def start_above_others(records: Records) -> Effect:
    """How far STFT/ELU's first epoch lies above the others' mean, on the spectrum where it is lowest; more than 0."""
    higher = pd.concat([ABOVE.of(elu[1], others[1]) for elu, others in elu_and_others(records)], axis=1)
    return judge(higher.min(axis=1), "% of the others' loss", above=0, of="model", ratio=ABOVE)


@claim("elu-joins", "3.1, Figs. 1-3, 7", "STFT/ELU comes down to the level of the others in 3 to 4 epochs.")
def epochs_to_others(records: Records) -> Effect:
    """Epochs until STFT/ELU is {ALIKE:g} % above the others' mean or less, median of the spectra; over 2, under 5."""
    figures = elu_and_others(records)
    require_epochs(figures[0][0], BEGINNING)
    epochs = [epochs_until(elu.sub((1 + ALIKE / 100) * others), 0.0) for elu, others in figures]
    return judge(pd.concat(epochs, axis=1).median(axis=1), "epochs", above=2, below=5, of="model")


def first_epochs(records: Records, stage: str) -> tuple[pd.Series, pd.Series]:
    """Return the losses of ELU's and ReLU's first epoch, of the keys models."""
    return pairs(keys_curves(records, stage, 1)[1], "activation", "ELU", "ReLU")


@claim("elu-starts-above-relu", "3.1, Figs. 1, 7", "STFT/ELU starts at a higher loss than STFT/ReLU.")
def start_above_relu(records: Records) -> Effect:
    """How far ELU's STFT loss lies above ReLU's in the first epoch; more than 0."""
    return judge(ABOVE.of(*first_epochs(records, "autoencoder")), "% of ReLU's loss", above=0, ratio=ABOVE)


@claim("elu-joins-relu", "3.1, Figs. 1, 7", "STFT/ELU comes down to the level of STFT/ReLU within 4 epochs.")
def epochs_to_relu(records: Records) -> Effect:
    """Epochs until ELU's STFT loss is {STEADY:g} % above ReLU's or less; over 1, under 5."""
    elu, relu = pairs(keys_curves(records, "autoencoder", BEGINNING), "activation", "ELU", "ReLU")
    return judge(epochs_until(elu.sub((1 + STEADY / 100) * relu), 0.0), "epochs", above=1, below=5)


@claim("elu-plateau", "3.1, Figs. 1, 7", "STFT/ELU rests on a plateau, then falls again.", activation="ELU")
def plateau(records: Records, activation: str) -> Effect:
    """By how much the steepest fall over {REST} epochs is faster than twice the slowest fall before it; more than 0.

    Falls are the slopes of straight lines through the log loss from epoch 3 on. A loss that falls evenly, or ever more
    slowly, has no plateau: its steepest fall is slower than twice its slowest.
    """
    logs = np.log(keys_curves(records, "autoencoder", 5 * REST, activation=activation))
    begins = range(3, 4 * REST + 1)
    rates = {begin: -np.polyfit(range(REST), logs.loc[:, begin : begin + REST - 1].T, 1)[0] for begin in begins}
    rates = pd.DataFrame(rates, index=logs.index)
    rests = rates.loc[:, : REST * 3].idxmin(axis=1)
    falls = [row.loc[rests[model] + REST :].max() - 2 * row[rests[model]] for model, row in rates.iterrows()]
    return judge(100 * np.array(falls), "% of the loss per epoch", above=0, of="model")


@claim("elu-second-descent", "3.1, Figs. 1, 7", "The second descent of STFT/ELU begins near epoch 25.")
def epoch_of_second_descent(records: Records) -> Effect:
    """Epoch at which the fall speeds up most; between 20 and 30.

    The fall in the log loss over the five epochs after it, less that over the five before.
    """
    logs = np.log(keys_curves(records, "autoencoder", 5 * REST, activation="ELU"))
    gains = 2 * logs - logs.shift(5, axis=1) - logs.shift(-5, axis=1)
    return judge(gains.loc[:, 10:].idxmax(axis=1), "epochs", above=20, below=30, of="model")


claim("relu-plateau", "3.1, Figs. 1, 4, 7", "STFT/ReLU shows the same plateau, at least in part.", activation="ReLU")(
    plateau
)


@claim("elu-steadier", "3.1, Figs. 1, 7", "ELU converges more steadily than ReLU.")
def jumps(records: Records) -> Effect:
    """By how much the jumps of ReLU's curve are larger than those of ELU's, from epoch 5 on; more than 0.

    From the second differences of the log loss: of independent noise, their root mean square is the square root of 6
    times its deviation.
    """
    logs = np.log(keys_curves(records, "autoencoder", BEGINNING + 3).loc[:, BEGINNING:])
    differences = logs.diff(axis=1).diff(axis=1).dropna(axis=1)
    relu, elu = pairs(100 * np.sqrt((differences**2).mean(axis=1) / 6), "activation", "ReLU", "ELU")
    return judge(relu - elu, LOSS, above=0)


def elu_wins(records: Records, spectrum: str) -> pd.Series:
    """Return in which pairs of keys models ELU ends below ReLU."""
    elu, relu = pairs(final_loss(keys_curves(records, "autoencoder", 1, spectrum)), "activation", "ELU", "ReLU")
    return elu < relu


@claim("elu-ends-lower-stft", "3.1, Figs. 1, 7", "In almost all pairs, ELU ends at a lower STFT loss than ReLU.")
def elu_wins_on_stft(records: Records) -> Effect:
    """Share of the pairs in which ELU ends lower; surely over half (does not hold: surely under nine in ten)."""
    return judge_almost_all(elu_wins(records, "STFT"))


@claim("elu-not-lower-mfc", "3.1, Fig. 2", "On the MFC loss, ELU ends below ReLU in far fewer than all pairs.")
def elu_wins_on_mfc(records: Records) -> Effect:
    """Share of the pairs in which ELU ends lower; surely under nine in ten (does not hold: surely over half)."""
    return judge_almost_all(elu_wins(records, "MFC"), negate=True)


@claim("relu-beneath", "3.1, Figs. 1, 7", "In the short term, before epoch 30, ReLU's loss is always below ELU's.")
def epochs_beneath(records: Records) -> Effect:
    """Share of the epochs 1-29 in which ReLU's STFT loss is the lower one; over 90 %."""
    relu, elu = pairs(keys_curves(records, "autoencoder", 30).loc[:, 1:29], "activation", "ReLU", "ELU")
    return judge(100 * (relu < elu).mean(axis=1), "% of the epochs", above=90, within=(0, 100))


@claim("lstm-starts-alike", "3.1, Fig. 8", "In the LSTM stage, ELU and ReLU start at about the same loss.")
def difference_at_start(records: Records) -> Effect:
    """Difference between the first epochs of ELU and ReLU, up or down; under {ALIKE:g} %."""
    return judge(ABOVE.of(*first_epochs(records, "lstm")).abs(), "% of ReLU's loss", below=ALIKE)


def fall(records: Records, stage: str, activation: str) -> pd.Series:
    """Return how far below its first epoch each curve of the keys models ends, in %."""
    losses = keys_curves(records, stage, 2, activation=activation)
    return BELOW.of(final_loss(losses), losses[1])


@claim("lstm-elu-constant", "3.1, Fig. 8", "In the LSTM stage, ELU's loss stays constant.", stage="lstm")
def change_of_elu(records: Records, stage: str) -> Effect:
    """Change from the first epoch to the end, up or down; under {STEADY:g} %."""
    return judge(fall(records, stage, "ELU").abs(), LOSS, below=STEADY, of="model")


@claim("lstm-relu-falls", "3.1, Fig. 8", "In the LSTM stage, ReLU's loss clearly falls.")
def fall_of_relu(records: Records) -> Effect:
    """How far ReLU's loss ends below its first epoch; more than {STEADY:g} %."""
    return judge(fall(records, "lstm", "ReLU"), LOSS, above=STEADY, of="model", ratio=BELOW)


def lead(records: Records, stage: str, winner: str, loser: str, sets: tuple[str, ...]) -> Effect:
    """How far {winner}'s STFT loss ends below {loser}'s; more than 0."""
    ends = final_loss(loss_curves(records, stage, spectrum="STFT", **STFT, instruments=sets))
    lower = BELOW.of(*pairs(ends, "activation", winner, loser))
    return judge(require_sets(lower, sets), "% of the other's loss", above=0, ratio=BELOW)


@claim("lstm-relu-ends-lower", "3.1, Fig. 8", "ReLU ends the LSTM stage at a lower loss than ELU.")
def lead_in_lstm(records: Records) -> Effect:
    """How far ReLU's loss ends below ELU's; more than 0."""
    return lead(records, "lstm", "ReLU", "ELU", ("keys",))


@claim("fine-tuning-elu-starts-lower", "3.1, Fig. 9", "In fine-tuning, ELU starts at a lower loss than ReLU.")
def lead_at_start(records: Records) -> Effect:
    """How far ELU's loss lies below ReLU's in the first epoch; more than 0."""
    return judge(BELOW.of(*first_epochs(records, "fine-tuning")), "% of ReLU's loss", above=0, ratio=BELOW)


claim(
    "fine-tuning-elu-constant", "3.1, Fig. 9", "In fine-tuning, ELU's loss stays about constant.", stage="fine-tuning"
)(change_of_elu)


@claim("fine-tuning-relu-rises", "3.1, Fig. 9", "In fine-tuning, ReLU's loss rises.")
def rise_of_relu(records: Records) -> Effect:
    """How far ReLU's loss ends above its first epoch; more than 0."""
    return judge(-fall(records, "fine-tuning", "ReLU"), LOSS, above=0, of="model", ratio=ABOVE)


THREE = ("k+m+v",)
# fmt: off
for key, figure, statement, stage, winner, loser, sets in (
    ("three-autoencoder", 10, "On three instruments, too, ELU is better in the autoencoder.",
     "autoencoder", "ELU", "ReLU", THREE),
    ("three-lstm", 11, "On three instruments, too, ReLU is better in the LSTM.", "lstm", "ReLU", "ELU", THREE),
    ("three-fine-tuning", 12, "On three instruments, too, ELU is better in fine-tuning.",
     "fine-tuning", "ELU", "ReLU", THREE),
    ("brass-autoencoder", 13, "On several brass instruments, ELU is better in the autoencoder.",
     "autoencoder", "ELU", "ReLU", BRASS_SETS[1:]),
    ("brass1-autoencoder", 13, "On a single brass instrument, ReLU is slightly better in the autoencoder.",
     "autoencoder", "ReLU", "ELU", BRASS_SETS[:1]),
    ("brass-lstm", 14, "On brass, ReLU is better in the LSTM.", "lstm", "ReLU", "ELU", BRASS_SETS),
    ("brass-fine-tuning", 15, "On brass, ELU is better in fine-tuning.", "fine-tuning", "ELU", "ReLU", BRASS_SETS),
):
    claim(key, f"3.1, Fig. {figure}", statement, stage=stage, winner=winner, loser=loser, sets=sets)(lead)
# fmt: on


def epochs_needed(records: Records, **where: str) -> tuple[pd.Series, pd.Series]:
    """Return the epochs at which ELU and ReLU get down to the higher of their two final training losses."""
    losses = require_epochs(loss_curves(records, "autoencoder", role="train", **FLOW | where), 2)
    elu, relu = pairs(losses, "activation", "ELU", "ReLU")
    level = pd.concat([final_loss(elu), final_loss(relu)], axis=1).max(axis=1)
    return epochs_until(elu, level), epochs_until(relu, level)


@claim("elu-faster", "4", "ELU converges faster than ReLU when training the autoencoder.", training_loss="STFT")
def epochs_saved(records: Records, **where: str) -> Effect:
    """How far the epoch at which ELU reaches the higher of both final losses lies before ReLU's; more than 0."""
    elu, relu = epochs_needed(records, **where)
    return judge(relu - elu, "epochs", above=0)
