"""The study that the size of `recorded` was chosen by: what the paper's curves look like at other sizes and rates.

Keys, STFT, ReLU and ELU, in the paper's regime, with seeds that the grid does not use (100 to 102), so that the choice
leaves the grid's own intervals alone. Keeps the losses of each model under ``sizes/`` and joins them to
``sizes.parquet``; run again, it goes on with what is missing. The notes are needed (``make data SPLIT=test``):

    python data/recorded/sizes.py --workers 2

`singlib.report.sensitivity` puts the paper's statements to the test on them.
"""

import argparse
import multiprocessing
import platform
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from singlib import nsynth
from singlib.files import replacing
from singlib.grid import PROFILES, Cell
from singlib.runs.training import STAGES, Trainer, device_name, keep_freed_memory, make_repeatable

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


def file_of(channels: int, dimension: int, rate: float, activation: str, seed: int) -> Path:
    """Return where the losses of a model are kept until all are joined."""
    return HERE / "sizes" / f"C{channels}-D{dimension}-{rate:g}-{activation}-{seed}.parquet"


def split() -> None:
    """Take ``sizes.parquet`` apart again, so that what it holds is not trained anew."""
    if (HERE / "sizes.parquet").is_file():
        model = ["channels", "dimension", "learning_rate", "activation", "seed"]
        for key, rows in pd.read_parquet(HERE / "sizes.parquet").groupby(model):
            if not file_of(*key).is_file():
                with replacing(file_of(*key)) as beside:
                    rows.to_parquet(beside, index=False)


def train(channels: int, dimension: int, rate: float, hidden: tuple[int, ...], activation: str, seed: int) -> None:
    """Train one autoencoder, then an LSTM of each size on its codes and the two together; keep the losses."""
    target = file_of(channels, dimension, rate, activation, seed)
    name = target.stem
    if target.is_file():
        return
    cell = Cell(activation=activation, seed=seed)
    profile = replace(PROFILES["recorded"], channels=channels, dimension=dimension, learning_rate=rate)
    notes, device = nsynth.load_notes(profile.data, cell.roles), torch.device("cpu")
    keep_freed_memory()
    make_repeatable(profile.threads, device)
    begun, rows, autoencoder = time.process_time(), [], None
    for units in hidden:
        trainer = Trainer(cell, replace(profile, hidden=units), notes, device)
        stages = STAGES
        if autoencoder is not None:  # the same to the bit: its weights are drawn before the LSTM's
            trainer.autoencoder.load_state_dict(autoencoder)
            stages = STAGES[1:]
        for stage in stages:
            if stage == "lstm":
                autoencoder = {key: value.clone() for key, value in trainer.autoencoder.state_dict().items()}
                trainer.encode()
            optimiser = trainer.optimiser(stage)
            lstm = units if stage != "autoencoder" else 0  # of all of them
            for epoch in range(profile.epochs[STAGES.index(stage)] + 1):
                means, _ = trainer.run_epoch(stage, epoch, optimiser)
                same = {"hidden": lstm, "stage": stage, "epoch": epoch}
                rows += [same | {"spectrum": spectrum, "loss": loss} for spectrum, loss in means.items()]
            seconds = time.process_time() - begun
            print(f"{name} LSTM {units} {stage}: STFT {means['STFT']:.4f}, {seconds:.0f} s", flush=True)
    facts = {"channels": channels, "dimension": dimension, "learning_rate": rate}
    facts |= {"activation": activation, "seed": seed, "cpu_seconds": time.process_time() - begun}
    facts |= {"device": device_name(device), "platform": platform.platform(), "torch": torch.__version__}
    with replacing(target) as beside:
        pd.DataFrame(rows).assign(data_digest=notes.digest, **facts).to_parquet(beside, index=False)


def main() -> None:
    """Train what is missing, and join what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1, help="models at a time")
    workers = parser.parse_args().workers
    split()
    jobs = [(*size, activation, seed) for size in SIZES for seed in SEEDS for activation in ("ReLU", "ELU")]
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        pool.starmap(train, jobs, chunksize=1)
    parts = [pd.read_parquet(path) for path in sorted((HERE / "sizes").glob("*.parquet"))]
    with replacing(HERE / "sizes.parquet") as beside:
        pd.concat(parts).to_parquet(beside, index=False, compression="zstd")


if __name__ == "__main__":
    main()
