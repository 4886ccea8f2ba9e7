"""The study that the size of `recorded` was chosen by: what the paper's curves look like at other sizes and rates.

Keys, STFT, ReLU and ELU, in the paper's regime, with seeds that the grid does not use (100 to 102), so that the choice
leaves the grid's own intervals alone. Width, dimension of a code, LSTM and rate are each changed alone.
``sizes.parquet`` has the losses of each model; run again, it goes on with what is missing. The notes are needed
(``make data SPLIT=test``):

    python data/recorded/sizes.py --workers 2

`singlib.report.sensitivity` puts the paper's statements to the test on them.
"""

from dataclasses import replace
from pathlib import Path

from singlib import nsynth
from singlib.grid import PROFILES, Cell
from singlib.runs import study
from singlib.runs.training import STAGES, Trainer

HERE = Path(__file__).parent
SEEDS = (100, 101, 102)
# Channels, dimension of a code, learning rate, and the LSTMs' units. An autoencoder serves LSTMs of several sizes.
SIZES = [
    (512, 128, 3e-4, (128, 256)),
    (256, 128, 3e-4, (128,)),
    (512, 64, 3e-4, (128,)),
    (512, 128, 6e-4, (128,)),
    (512, 128, 1.5e-4, (128,)),
    (1024, 128, 3e-4, (128,)),  # last: it takes longer than all the others
]
EXPERIMENTS = {
    f"C{channels}-D{dimension}-{rate:g}-{activation}-{seed}": (
        Cell(activation=activation, seed=seed),
        replace(PROFILES["recorded"], channels=channels, dimension=dimension, learning_rate=rate),
        lstms,
    )
    for channels, dimension, rate, lstms in SIZES
    for seed in SEEDS
    for activation in ("ReLU", "ELU")
}


def train(name: str) -> dict[str, study.Rows]:
    """Train one autoencoder, then an LSTM of each size on its codes and the two together; return the losses."""
    cell, profile, lstms = EXPERIMENTS[name]
    facts = {key: getattr(profile, key) for key in ("channels", "dimension", "learning_rate")}
    facts |= {"activation": cell.activation, "seed": cell.seed} | study.prepare(profile.threads)
    notes, rows, autoencoder = nsynth.load_notes(profile.data, cell.roles), [], None
    for units in lstms:
        trainer = Trainer(cell, replace(profile, hidden=units), notes, study.DEVICE)
        if autoencoder:  # the same to the bit: its weights are drawn before the LSTM's
            trainer.autoencoder.load_state_dict(autoencoder)
        for stage in STAGES[1:] if autoencoder else STAGES:
            hidden = units if stage != "autoencoder" else 0  # of all of them
            rows += [facts | {"hidden": hidden} | row for row in study.train_stage(trainer, stage)]
            if stage == "autoencoder":
                autoencoder = {key: value.clone() for key, value in trainer.autoencoder.state_dict().items()}
    return {"sizes": [row | {"data_digest": notes.digest} for row in rows]}


if __name__ == "__main__":
    made_with = {name: study.settings(*made, lstms=lstms) for name, (*made, lstms) in EXPERIMENTS.items()}
    study.run(HERE, "sizes", made_with, train, __doc__.splitlines()[0])
