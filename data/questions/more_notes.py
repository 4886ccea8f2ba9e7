"""With more notes, does ReLU's lead over ELU vanish? (section 4)

STFT/ReLU and STFT/ELU on an eighth, a quarter, a half and all of the notes of brass1-5 and of keys, mallet and
voice, drawn from each instrument, the same for both, and all for as many updates, as nearly as whole epochs allow: so
the model of an eighth sees each of its notes eight times as often. All are graded on the notes of the eighth, which all
are trained on.

Also brass1-5 with the notes of brass 5 left in that are noise: from MIDI pitch 84 on the stand-in's 41 notes are one
and the same sound. These models and those of all notes are graded on `GRADED` notes that are none of these.

Trained as `recorded-best` is, but for fewer updates, since the lead is one of sound.

    python data/questions/more_notes.py --workers 2
"""

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from pitches import BEST

from singlib import nsynth
from singlib.grid import Cell
from singlib.nsynth import notes as notes_module
from singlib.runs import study
from singlib.runs.run_folder import GRADING
from singlib.runs.training import STAGES, Trainer

HERE = Path(__file__).parent
UPDATES = (180, 125, 110)  # batches in each stage
SEEDS = (0, 1, 2)
FETCH = "fetch the notes again with them, as data/questions/README.md says"
GRADED = 60  # notes, evenly among those trained on
SHARES = {"eighth": 1 / 8, "quarter": 1 / 4, "half": 1 / 2, "all": 1.0, "all and noise": 1.0}
ORDER = ("eighth", "all", "quarter", "half", "all and noise")  # the last need the notes fetched again
EXPERIMENTS = {
    f"{instruments}-{share.replace(' ', '-')}-{activation}-{seed}": (instruments, share, activation, seed)
    for share in ORDER
    for seed in SEEDS
    for instruments in ("brass1-5", "k+m+v")
    for activation in ("ReLU", "ELU")
    if share != "all and noise" or instruments == "brass1-5"
}


def draw(notes: nsynth.Notes, share: float, seed: int) -> nsynth.Notes:
    """Return a share of the notes of each instrument, two at the least; a larger share has all of a smaller one's."""
    drawn, chosen = np.random.default_rng(seed), []
    for instrument in range(len(notes.roles)):
        own = drawn.permutation(np.flatnonzero(notes.instrument == instrument))
        chosen += list(own[: max(2, round(share * len(own)))])
    return notes.take(np.sort(chosen))


def train(name: str) -> dict[str, study.Rows]:
    """Train and grade one model."""
    instruments, share, activation, seed = EXPERIMENTS[name]
    noise_from = notes_module.NOISE_FROM[nsynth.ROLES[BEST.data]["brass5"]]
    if share == "all and noise":
        del notes_module.NOISE_FROM[nsynth.ROLES[BEST.data]["brass5"]]  # in this process, before it reads the notes
        if max(label.pitch for label in nsynth.select(BEST.data, ("brass5",))) < noise_from:
            raise FileNotFoundError(f"data/{BEST.data} has no note of brass 5 from MIDI pitch {noise_from} on: {FETCH}")
    cell = Cell(instruments, activation, seed=seed)
    every = nsynth.load_notes(BEST.data, cell.roles)
    noise = [label.role == "brass5" and label.pitch >= noise_from for label in every.labels()]
    clean = every.take(np.flatnonzero(np.logical_not(noise)))
    notes = every if share == "all and noise" else draw(clean, SHARES[share], seed)
    eighth, labels = set(draw(clean, SHARES["eighth"], seed).labels()), clean.labels()
    if share in ("all", "all and noise"):
        more = [labels[place] for place in np.linspace(0, len(labels) - 1, GRADED).round().astype(int)]
    else:
        more = []
    graded = sorted(eighth | set(more))
    batches = math.ceil(len(notes) / BEST.batch)
    profile = replace(BEST, epochs=tuple(round(updates / batches) for updates in UPDATES))
    facts = asdict(cell) | {"share": share, "trained_on": len(notes)}
    facts["regime"] = f"{profile.regime}, C {profile.channels}"
    facts |= study.prepare(profile.threads)
    trainer, history = Trainer(cell, profile, notes, study.DEVICE), []
    study.watch_nothing_else(trainer)
    for stage in STAGES:
        history += study.train_stage(trainer, stage)
    rows = [
        row | {"in_eighth": (row["role"], row["pitch"], row["velocity"]) in eighth}
        for row in study.grade_notes(trainer, notes, graded)
    ]
    facts |= {"data_digest": notes.digest}
    return {"more-notes-history": [facts | row for row in history], "more-notes": [facts | row for row in rows]}


if __name__ == "__main__":
    made_with = {
        name: study.settings(
            Cell(instruments, activation, seed=seed),
            replace(BEST, epochs=UPDATES),
            share=SHARES[share],
            noise=share == "all and noise",
            graded=GRADED,
            grading=GRADING,
        )
        for name, (instruments, share, activation, seed) in EXPERIMENTS.items()
    }
    study.run(HERE, "more-notes", made_with, train, __doc__.splitlines()[0])
