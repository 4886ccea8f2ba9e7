"""Other activations, other rates, another a: is ReLU's lead one of SING's settings?

Section 4 asks for SELU; GELU and SiLU came later and cost nothing to try. It also says that the other parts may
have been tuned to ReLU: so ReLU and ELU are trained at half and twice the rate as well, and each is taken at its
best. And ELU with the paper's a = 10, whose loss falls late and steeply, is trained at rates of its own.

Keys, STFT, C 256, in the paper's regime and, the new activations and ReLU, with many updates.

    python data/questions/activations.py --workers 2
"""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from singlib import nsynth
from singlib.grid import PROFILES, Cell
from singlib.nsynth import selection
from singlib.runs import study
from singlib.runs.run_folder import GRADING
from singlib.runs.training import STAGES, Trainer

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
PROFILES_OF = {
    "paper": replace(PROFILES["recorded"], channels=256),
    "many-updates": PROFILES["recorded-many-updates"].sized(Cell("keys")),
}
# Regime, activation, a, learning rate.
SETTINGS = [("paper", name, 1.0, 3e-4) for name in ("ReLU", "ELU", "SELU", "GELU", "SiLU")]
SETTINGS += [("many-updates", name, 1.0, 5e-4) for name in ("ReLU", "SELU", "GELU", "SiLU")]
SETTINGS += [("paper", name, 1.0, rate) for rate in (1.5e-4, 6e-4) for name in ("ReLU", "ELU")]
SETTINGS += [("paper", "ELU", 10.0, rate) for rate in (3e-4, 1e-3, 3e-3)]
EXPERIMENTS = {
    f"{regime}-{activation}-{alpha:g}-{rate:g}-{seed}": (
        regime,
        Cell("keys", activation, seed=seed, elu_alpha=alpha),
        replace(PROFILES_OF[regime], learning_rate=rate),
    )
    for seed in SEEDS
    for regime, activation, alpha, rate in SETTINGS
}


def train(name: str) -> dict[str, study.Rows]:
    """Train and grade one model."""
    regime, cell, profile = EXPERIMENTS[name]
    facts = asdict(cell) | {"updates": regime, "learning_rate": profile.learning_rate, "regime": profile.regime}
    facts |= study.prepare(profile.threads)
    notes = nsynth.load_notes(profile.data, cell.roles)
    trainer, history = Trainer(cell, profile, notes, study.DEVICE), []
    try:
        for stage in STAGES:
            history += study.train_stage(trainer, stage)
    except FloatingPointError as error:  # a rate can be too high; that is a result
        print(error)
        history.append({"stage": stage, "epoch": -1, "spectrum": "STFT", "loss": float("inf")})
    finite = all(torch.isfinite(weight).all() for weight in trainer.sing.parameters())
    labels = [label for role in notes.roles for label in selection.notes_to_generate(profile.data, role)]
    rows = study.grade_notes(trainer, notes, labels) if finite else [{"grade": "-"}]
    facts |= {"data_digest": notes.digest}
    return {"activations-history": [facts | row for row in history], "activations": [facts | row for row in rows]}


if __name__ == "__main__":
    made_with = {name: study.settings(*made, grading=GRADING) for name, (_, *made) in EXPERIMENTS.items()}
    study.run(HERE, "activations", made_with, train, __doc__.splitlines()[0])
