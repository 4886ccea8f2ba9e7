"""What section 3.1 of the paper says of the loss curves, each statement as one small function over the records.

The first point of the authors' curves is taken to be the first epoch as trained (our epoch 1): were it an
evaluation before training (our epoch 0), ELU could not end the LSTM stage above ReLU and start the
fine-tuning, which goes on from there, below it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..grid import PAPER_ACTIVATIONS, PAPER_LOSSES
from ..runs.records import Records
from .effects import claims_of, curves, end, epochs_to, lower, needs, of_all, pairs
from .statistics import Effect, Untestable, almost_all, every, judge

FLAT = 1e-5  # relative: float32 rounds a mean over notes to some 1e-7, and one step of Adam changes more than this
MOVES = 1.0  # % of the loss before training: far more than epochs differ by the order of their notes
STEADY = 5.0  # % of the loss: less is lost in the thickness of the authors' lines
ALIKE = 10.0  # %: "roughly the same point", "the level of the others"
REST = 10  # epochs of a plateau that is looked for: half of the authors' 20
BEGINNING = 5  # the epochs in which the losses come down from their start
LOSS = "% of the loss"
STFT = {"training_loss": "STFT", "activation": PAPER_ACTIVATIONS}
KEYS = {"instruments": "keys"} | STFT


def stays_as_published(records: Records, stage: str) -> Effect:
    """Measure by how much a loss moves without its gradient: the range of each model's most moving spectrum."""
    ranges = []
    for spectrum in PAPER_LOSSES:
        losses = curves(records, stage, spectrum=spectrum, gradient="cut", published=True)
        ranges.append((losses.max(axis=1) - losses.min(axis=1)) / losses.mean(axis=1).abs())
    largest = pd.concat(ranges, axis=1).max(axis=1)
    return every(largest, "of the loss (1 = all of it)", below=FLAT)


def side_loss_moves(records: Records, spectrum: str) -> Effect:
    """Measure how far STFT training takes a side loss down from where it was before training."""
    losses = needs(curves(records, "autoencoder", spectrum=spectrum, **KEYS), 2)
    return judge(lower(end(losses), losses[0]), LOSS, above=MOVES, of="model")


def against_others(records: Records, spectrum: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the STFT/ELU curves of Figures 1-3, and the mean of all the others."""
    losses = needs(curves(records, "autoencoder", spectrum=spectrum, instruments="keys", published=True), 1)
    kinds = losses.index.to_frame()
    own = (kinds.training_loss == "STFT") & (kinds.activation == "ELU")
    if own.all() or not own.any():
        raise Untestable("needs STFT/ELU and other models")
    return losses[own], losses[~own].mean()


def starts_higher(records: Records) -> Effect:
    """Measure how far above the others STFT/ELU starts, where it is least so of the three figures."""
    sides = [against_others(records, spectrum) for spectrum in PAPER_LOSSES]
    higher = pd.concat([100 * (elu[1] / others[1] - 1) for elu, others in sides], axis=1)
    return judge(higher.min(axis=1), "% of the others' loss", above=0, of="model")


def joins(records: Records) -> Effect:
    """Measure after how many epochs STFT/ELU is at the others' level, in the middle one of the three figures."""
    sides = [against_others(records, spectrum) for spectrum in PAPER_LOSSES]
    needs(sides[0][0], BEGINNING)
    epochs = [epochs_to(elu.sub((1 + ALIKE / 100) * others), 0.0) for elu, others in sides]
    return judge(pd.concat(epochs, axis=1).median(axis=1), "epochs", above=2, below=5, of="model")


def long_curves(records: Records, activation: str) -> pd.DataFrame:
    """Return the logarithm of the STFT losses that the plateau is looked for in."""
    losses = curves(records, "autoencoder", spectrum="STFT", **KEYS | {"activation": activation})
    return np.log(needs(losses, 5 * REST))


def plateau(records: Records, activation: str) -> Effect:
    """Measure how much faster the loss falls after its rest than at twice the rate of the rest.

    The rest are the 10 epochs from epoch 3 on in which the logarithm of the loss falls least (a straight line through
    them); the fall after it are the 10 epochs later in which it falls most. A loss that falls evenly, or ever more
    slowly, has none: the rate of its fall less twice that of its rest is below 0.
    """
    logs = long_curves(records, activation)
    rates = pd.DataFrame(
        {
            begin: -np.polyfit(range(REST), logs[list(range(begin, begin + REST))].T, 1)[0]
            for begin in range(3, 4 * REST + 1)
        },
        index=logs.index,
    )
    rests = rates.loc[:, : REST * 3].idxmin(axis=1)
    falls = [row.loc[rests[model] + REST :].max() - 2 * row[rests[model]] for model, row in rates.iterrows()]
    return judge(100 * np.array(falls), "% of the loss per epoch", above=0, of="model")


def second_descent(records: Records) -> Effect:
    """Measure at which epoch the fall of the loss speeds up most, between the five epochs before and after."""
    logs = long_curves(records, "ELU")
    middle = [epoch for epoch in logs if 10 <= epoch <= max(logs.columns) - 5]
    gains = {epoch: 2 * logs[epoch] - logs[epoch - 5] - logs[epoch + 5] for epoch in middle}
    return judge(pd.DataFrame(gains).idxmax(axis=1), "epochs", above=20, below=30, of="model")


def steadier(records: Records) -> Effect:
    """Measure how much more ReLU's curve jumps than ELU's, once both are down: the size of its second differences.

    Of independent noise the root mean square of second differences is the square root of 6 times its deviation.
    """
    losses = needs(curves(records, "autoencoder", spectrum="STFT", **KEYS), BEGINNING + 3)
    later = np.log(losses[[epoch for epoch in losses if epoch >= BEGINNING]])
    jumps = later.diff(axis=1).diff(axis=1).dropna(axis=1)
    relu, elu = pairs(100 * np.sqrt((jumps**2).mean(axis=1) / 6), "activation", "ReLU", "ELU")
    return judge(relu - elu, LOSS, above=0)


def elu_wins(records: Records, spectrum: str, negate: bool = False) -> Effect:
    """Count the pairs in which ELU ends below ReLU."""
    ends = end(curves(records, "autoencoder", spectrum=spectrum, **KEYS))
    elu, relu = pairs(ends, "activation", "ELU", "ReLU")
    return almost_all(elu < relu, negate)


def beneath(records: Records) -> Effect:
    """Measure in how many of the epochs 1 to 29 ReLU lies below ELU."""
    losses = needs(curves(records, "autoencoder", spectrum="STFT", **KEYS), 30)
    relu, elu = pairs(losses[list(range(1, 30))], "activation", "ReLU", "ELU")
    return judge(100 * (relu < elu).mean(axis=1), "% of the epochs", above=90, within=(0, 100))


def ends_lower(records: Records, stage: str, winner: str, *instruments: str) -> Effect:
    """Measure how far below the other activation the winner's STFT loss ends."""
    ends = end(curves(records, stage, spectrum="STFT", **STFT | {"instruments": instruments}))
    loser = next(name for name in PAPER_ACTIVATIONS if name != winner)
    ahead = lower(*pairs(ends, "activation", winner, loser))
    return judge(of_all(ahead, instruments), "% of the other's loss", above=0)


def first_epochs(records: Records, stage: str) -> tuple[pd.Series, pd.Series]:
    """Return the first STFT loss as trained of the keys models: of ELU, and of the ReLU model of the same seed."""
    return pairs(needs(curves(records, stage, spectrum="STFT", **KEYS), 1)[1], "activation", "ELU", "ReLU")


def starts_above(records: Records) -> Effect:
    """Measure how far above ReLU ELU starts the autoencoder."""
    return judge(-lower(*first_epochs(records, "autoencoder")), "% of ReLU's loss", above=0)


def joins_relu(records: Records) -> Effect:
    """Measure after how many epochs STFT/ELU is at the level of the STFT/ReLU model of its seed."""
    losses = needs(curves(records, "autoencoder", spectrum="STFT", **KEYS), BEGINNING)
    elu, relu = pairs(losses, "activation", "ELU", "ReLU")
    return judge(epochs_to(elu.sub((1 + STEADY / 100) * relu), 0.0), "epochs", above=1, below=5)


def starts_alike(records: Records, stage: str) -> Effect:
    """Measure how far ELU starts from ReLU, either way."""
    return judge(lower(*first_epochs(records, stage)).abs(), "% of ReLU's loss", below=ALIKE)


def starts_lower(records: Records, stage: str) -> Effect:
    """Measure how far below ReLU ELU starts."""
    return judge(lower(*first_epochs(records, stage)), "% of ReLU's loss", above=0)


def falls(records: Records, stage: str, activation: str) -> pd.Series:
    """Return how far below its first epoch each curve ends, in %."""
    losses = needs(curves(records, stage, spectrum="STFT", **KEYS | {"activation": activation}), 2)
    return lower(end(losses), losses[1])


def stays(records: Records, stage: str) -> Effect:
    """Measure how far from its first epoch ELU ends, either way."""
    return judge(falls(records, stage, "ELU").abs(), LOSS, below=STEADY, of="model")


def relu_falls(records: Records, stage: str) -> Effect:
    """Measure how far below its first epoch ReLU ends."""
    return judge(falls(records, stage, "ReLU"), LOSS, above=STEADY, of="model")


def relu_rises(records: Records, stage: str) -> Effect:
    """Measure how far above its first epoch ReLU ends."""
    return judge(-falls(records, stage, "ReLU"), LOSS, above=0, of="model")


PLATEAU = (
    f"Rate of the steepest fall over {REST} epochs, less twice that of the rest before it, the {REST} epochs of the "
    "slowest fall (log loss, from epoch 3 on); more than 0."
)
# fmt: off
CURVES = claims_of(
    ("published-autoencoder-constant", "3.1, Figs. 1-3, 5, 6",
     "As published, MFC and CQT training move no loss at all.",
     f"Largest relative change of any loss over the epochs of any autoencoder; below {FLAT:g}.",
     stays_as_published, "autoencoder"),
    ("published-fine-tuning-constant", "4", "As published, MFC and CQT training move no loss in the fine-tuning.",
     f"Largest relative change of any loss over the epochs of any fine-tuning; below {FLAT:g}.",
     stays_as_published, "fine-tuning"),
    ("stft-moves-mfc", "3.1, Fig. 2", "The MFC side loss falls when the STFT is trained on.",
     f"Fall of the side loss from before training to the end; more than {MOVES:g} %.",
     side_loss_moves, "MFC"),
    ("stft-moves-cqt", "3.1, Fig. 3", "The CQT side loss falls when the STFT is trained on.",
     f"Fall of the side loss from before training to the end; more than {MOVES:g} %.",
     side_loss_moves, "CQT"),
    ("elu-starts-higher", "3.1, Figs. 1-3, 7", "STFT/ELU starts at higher losses than the other models.",
     "First epoch of STFT/ELU against the mean of the others, least of the three spectra; more than 0.",
     starts_higher),
    ("elu-joins", "3.1, Figs. 1-3, 7", "STFT/ELU comes down to the level of the others in 3 to 4 epochs.",
     f"Epochs until STFT/ELU is {ALIKE:g} % above the others' mean or less, median of the spectra; over 2, under 5.",
     joins),
    ("elu-starts-above-relu", "3.1, Figs. 1, 7", "STFT/ELU starts at a higher loss than STFT/ReLU.",
     "How far ELU's first epoch lies above ReLU's, STFT loss; more than 0.",
     starts_above),
    ("elu-joins-relu", "3.1, Figs. 1, 7", "STFT/ELU comes down to the level of STFT/ReLU in 3 to 4 epochs.",
     f"Epochs until ELU's STFT loss is {STEADY:g} % above ReLU's or less; over 1, under 5.",
     joins_relu),
    ("elu-plateau", "3.1, Figs. 1, 7", "STFT/ELU rests on a plateau and falls again.",
     PLATEAU, plateau, "ELU"),
    ("elu-second-descent", "3.1, Figs. 1, 7", "The second descent of STFT/ELU sets in near epoch 25.",
     "Epoch at which the fall speeds up most; between 20 and 30.",
     second_descent),
    ("relu-plateau", "3.1, Figs. 1, 4, 7", "STFT/ReLU shows the same plateau, at least in part.",
     PLATEAU, plateau, "ReLU"),
    ("elu-steadier", "3.1, Figs. 1, 7", "ELU converges more steadily than ReLU.",
     "Jumps of ReLU's curve less those of ELU's, from the second differences of the log loss; more than 0.",
     steadier),
    ("elu-ends-lower-stft", "3.1, Figs. 1, 7", "On the STFT loss ELU ends below ReLU in almost all pairs.",
     "Share of the pairs; surely over half (does not hold: surely under nine in ten).",
     elu_wins, "STFT"),
    ("elu-not-lower-mfc", "3.1, Fig. 2", "On the MFC side loss ELU does not end below ReLU in almost all pairs.",
     "Share of the pairs; surely under nine in ten (does not hold: surely over half).",
     elu_wins, "MFC", True),
    ("relu-beneath", "3.1, Figs. 1, 7", "In the short term, before epoch 30, ReLU always lies beneath ELU.",
     "Share of the epochs 1-29 in which ReLU's STFT loss is the lower one; over 90 %.",
     beneath),
    ("lstm-starts-alike", "3.1, Fig. 8", "In the LSTM stage ELU and ReLU start at about the same loss.",
     f"Difference of the first epochs, either way; under {ALIKE:g} %.",
     starts_alike, "lstm"),
    ("lstm-elu-constant", "3.1, Fig. 8", "In the LSTM stage ELU stays constant.",
     f"Change from the first epoch to the end, either way; under {STEADY:g} %.",
     stays, "lstm"),
    ("lstm-relu-falls", "3.1, Fig. 8", "In the LSTM stage ReLU clearly falls.",
     f"Fall from the first epoch to the end; more than {STEADY:g} %.",
     relu_falls, "lstm"),
    ("lstm-relu-ends-lower", "3.1, Fig. 8", "ReLU ends the LSTM stage below ELU.",
     "How far ReLU ends below ELU; more than 0.",
     ends_lower, "lstm", "ReLU", "keys"),
    ("fine-tuning-elu-starts-lower", "3.1, Fig. 9", "In the fine-tuning ELU starts below ReLU.",
     "How far ELU's first epoch lies below ReLU's; more than 0.",
     starts_lower, "fine-tuning"),
    ("fine-tuning-elu-constant", "3.1, Fig. 9", "In the fine-tuning ELU stays about constant.",
     f"Change from the first epoch to the end, either way; under {STEADY:g} %.",
     stays, "fine-tuning"),
    ("fine-tuning-relu-rises", "3.1, Fig. 9", "In the fine-tuning ReLU rises.",
     "Rise from the first epoch to the end; more than 0.",
     relu_rises, "fine-tuning"),
    ("three-autoencoder", "3.1, Fig. 10", "On three instruments, too, ELU is better in the autoencoder.",
     "How far ELU's STFT loss ends below ReLU's; more than 0.",
     ends_lower, "autoencoder", "ELU", "k+m+v"),
    ("three-lstm", "3.1, Fig. 11", "On three instruments, too, ReLU is better in the LSTM.",
     "How far ReLU's STFT loss ends below ELU's; more than 0.",
     ends_lower, "lstm", "ReLU", "k+m+v"),
    ("three-fine-tuning", "3.1, Fig. 12", "On three instruments, too, ELU is better in the fine-tuning.",
     "How far ELU's STFT loss ends below ReLU's; more than 0.",
     ends_lower, "fine-tuning", "ELU", "k+m+v"),
    ("brass-autoencoder", "3.1, Fig. 13", "On several brass instruments ELU is better in the autoencoder.",
     "How far ELU's STFT loss ends below ReLU's, with three and with five instruments; more than 0.",
     ends_lower, "autoencoder", "ELU", "brass1-3", "brass1-5"),
    ("brass1-autoencoder", "3.1, Fig. 13", "On a single brass instrument ReLU is slightly better in the autoencoder.",
     "How far ReLU's STFT loss ends below ELU's; more than 0.",
     ends_lower, "autoencoder", "ReLU", "brass1"),
    ("brass-lstm", "3.1, Fig. 14", "On brass ReLU is better in the LSTM.",
     "How far ReLU's STFT loss ends below ELU's; more than 0.",
     ends_lower, "lstm", "ReLU", "brass1", "brass1-3", "brass1-5"),
    ("brass-fine-tuning", "3.1, Fig. 15", "On brass ELU is better in the fine-tuning.",
     "How far ELU's STFT loss ends below ReLU's; more than 0.",
     ends_lower, "fine-tuning", "ELU", "brass1", "brass1-3", "brass1-5"),
)
# fmt: on
