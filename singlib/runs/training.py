"""Training a cell: autoencoder, LSTM on its codes, fine-tuning end to end.

The loss of an epoch is the note-weighted mean over its batches as trained, for the paper's three spectra and the one
trained on; epoch 0 is an evaluation before the first update. The state is kept after every epoch: a killed run ends
with the weights and history of an unbroken one, to the bit.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import __version__, nsynth
from ..files import replacing
from ..grading.grades import grade
from ..grid import LOSSES, PAPER_LOSSES, STAGES, Cell, Profile
from ..network import sing
from ..network.devices import resolve_device, to_device
from ..network.generation import Model, write_notes
from ..nsynth import selection
from ..spectra import MFC, SPECTRA, STFT, SpectralLoss
from .optimiser import Optimiser
from .run_folder import Run

CHUNK = 32  # time steps of the LSTM between two updates; its state is carried over, without gradient
UPDATES = {"autoencoder": 1, "lstm": math.ceil(sing.STEPS / CHUNK), "fine-tuning": 1}  # on a batch
LEVELS = 512e6  # bytes of targets' levels to keep


class Trainer:
    """The models, notes and losses of one cell, and one training step of each stage."""

    def __init__(self, cell: Cell, profile: Profile, notes: nsynth.Notes, device: torch.device) -> None:
        torch.manual_seed(cell.seed)  # the same seed starts every cell of a size from the same weights
        shape = (profile.channels, profile.dimension, cell.activation, cell.elu_alpha)
        self.autoencoder = sing.Autoencoder(*shape).to(device)
        sequence = sing.SequenceGenerator(len(cell.roles), profile.dimension, profile.hidden, profile.layers)
        self.sing = sing.SING(sequence.to(device), self.autoencoder.decoder)
        gradients = dict.fromkeys(PAPER_LOSSES, "flow") | {cell.loss: cell.gradient}
        losses = {name: SpectralLoss(SPECTRA[name](), eps=profile.eps, gradient=how) for name, how in gradients.items()}
        self.losses = nn.ModuleDict(losses).to(device)
        self.cell, self.profile, self.device = cell, profile, device
        self.waveforms = to_device(notes.waveforms, device)
        self.labels = [to_device(numbers, device) for numbers in (notes.instrument, notes.pitch, notes.velocity)]
        self.levels = self._levels()
        self.codes: Tensor | None = None

    @torch.no_grad()
    def _levels(self) -> dict[str, Tensor]:
        """Compute targets' levels once for all epochs, the costliest for their size first, up to `LEVELS` bytes.

        Those of 440 notes have 38 MB (CQT), 9 MB (MFC), 227 MB (STFT) and 904 MB (MRSTFT).
        """
        levels, left = {}, LEVELS
        parts = self.waveforms.split(self.profile.batch)
        for name in reversed(list(self.losses)):
            loss = self.losses[name]
            first = loss.level(sing.target(parts[0]))
            size = len(self.waveforms) * first[0].nbytes
            if size <= left:
                left -= size
                # A frame's bins lie together, as in the spectra that they are compared with.
                kept = first.new_empty(len(self.waveforms), *first.mT.shape[1:])
                for rows, part in zip(kept.split(self.profile.batch), parts, strict=True):
                    rows.copy_(loss.level(sing.target(part)).mT)
                levels[name] = kept.mT
        return levels

    @torch.no_grad()
    def level(self, name: str, index: Tensor) -> Tensor:
        """Return the level of some notes as targets, ``(batch, bins, frames)``."""
        if name in self.levels:
            return self.levels[name][index]
        return self.losses[name].level(sing.target(self.waveforms[index]))

    def modules(self) -> nn.ModuleDict:
        """Return all that is trained, under the names of a checkpoint."""
        return nn.ModuleDict({"encoder": self.autoencoder.encoder, "sing": self.sing})

    def trained(self, stage: str) -> nn.Module:
        """Return what a stage trains."""
        return {"autoencoder": self.autoencoder, "lstm": self.sing.sequence, "fine-tuning": self.sing}[stage]

    def parameters(self, stage: str) -> list[nn.Parameter]:
        """Return the weights that a stage trains."""
        return list(self.trained(stage).parameters())

    def encode(self) -> None:
        """Compute the codes of all notes, the targets of the LSTM stage."""
        with torch.no_grad():
            parts = self.waveforms.split(self.profile.batch)
            self.codes = torch.cat([self.autoencoder.encoder(sing.pad(part)) for part in parts])

    def optimiser(self, stage: str, made: int = 0) -> Optimiser:
        """Return the optimiser of what a stage trains, as it is after so many updates."""
        epoch_updates = math.ceil(len(self.waveforms) / self.profile.batch) * UPDATES[stage]
        return Optimiser(self.trained(stage), self.profile, STAGES.index(stage), epoch_updates, made)

    def products(self) -> torch.autocast:
        """Return the context of encoder and decoder, which gives their matrix products their precision.

        The LSTM stays in float32: bfloat16 makes it no faster, and processors without AVX-512 have none for it.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.profile.bfloat16)

    def step(self, stage: str, index: Tensor, optimiser: Optimiser | None) -> dict[str, Tensor]:
        """Take one step on some notes (without an optimiser, only evaluate); return losses ``(batch,)`` by spectrum."""
        if stage == "lstm":
            output = self.follow_codes(index, optimiser)
            error = (output - self.codes[index]).square().mean(dim=(1, 2))
            with torch.no_grad(), self.products():
                estimate = self.sing.decoder(output)
                power = self.losses["STFT"].spectrum(estimate)
            return {"codes": error} | self._evaluate(self.losses, estimate, power, index)
        train, estimate, power = self.update(stage, index, optimiser)
        side = (name for name in self.losses if name != self.cell.loss)
        return {self.cell.loss: train} | self._evaluate(side, estimate, power, index)

    def update(self, stage: str, index: Tensor, optimiser: Optimiser | None) -> tuple[Tensor, Tensor, Tensor]:
        """Train the autoencoder or the whole; return training loss ``(batch,)``, estimate, and its STFT."""
        with torch.set_grad_enabled(optimiser is not None):
            if stage == "autoencoder":
                with self.products():
                    estimate = self.autoencoder(sing.pad(self.waveforms[index]))
            else:
                codes, _ = self.sing.sequence(*(label[index] for label in self.labels))
                with self.products():
                    estimate = self.sing.decoder(codes)
            power = self.losses["STFT"].spectrum(estimate)
            train = self._loss(self.cell.loss, estimate, power, index)
        if optimiser is not None:
            optimiser.zero_grad()
            train.mean().backward()
            optimiser.step()
        return train.detach(), estimate.detach(), power.detach()

    def follow_codes(self, index: Tensor, optimiser: Optimiser | None) -> Tensor:
        """Train the LSTM on codes, an update every `CHUNK` time steps; return its codes as trained."""
        labels = [label[index] for label in self.labels]
        state, outputs = None, []
        for start in range(0, sing.STEPS, CHUNK):
            steps = slice(start, min(start + CHUNK, sing.STEPS))
            with torch.set_grad_enabled(optimiser is not None):
                codes, state = self.sing.sequence(*labels, steps, state)
                loss = F.mse_loss(codes, self.codes[index, :, steps])
            if optimiser is not None:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            state = tuple(part.detach() for part in state)
            outputs.append(codes.detach())
        return torch.cat(outputs, dim=-1)

    @torch.no_grad()
    def _evaluate(self, spectra: Iterable[str], estimate: Tensor, power: Tensor, index: Tensor) -> dict[str, Tensor]:
        return {name: self._loss(name, estimate, power, index).detach() for name in spectra}

    def _loss(self, name: str, estimate: Tensor, power: Tensor, index: Tensor) -> Tensor:
        """Return a loss of each note; STFT and MFC share `power`, the estimate's STFT."""
        loss, spectrum = self.losses[name], self.losses[name].spectrum
        if isinstance(spectrum, STFT):
            values = power
        else:
            values = spectrum.of_power(power) if isinstance(spectrum, MFC) else spectrum(estimate)
        return loss.compare(values, self.level(name, index))

    @torch.no_grad()
    def activations(self) -> dict[str, float]:
        """Return mean and standard deviation of activations on the first batch, averaged over the six layers.

        ELU is said to train faster because it keeps their mean near zero (D.-A. Clevert et al., 2015).
        """
        layers = [layer for part in (self.autoencoder.encoder, self.autoencoder.decoder) for layer in list(part)[1:6:2]]
        outputs: list[Tensor] = []
        hooks = [layer.register_forward_hook(lambda _layer, _in, out: outputs.append(out)) for layer in layers]
        self.autoencoder(sing.pad(self.waveforms[: self.profile.batch]))
        for hook in hooks:
            hook.remove()
        return {
            "activation_mean": float(np.mean([out.mean().item() for out in outputs])),
            "activation_std": float(np.mean([out.std().item() for out in outputs])),
        }

    @torch.no_grad()
    def silent(self) -> bool:
        """Return whether the decoder plays nothing for any note: it has no gradient then, and may never leave that."""
        parts = (self.autoencoder(sing.pad(part)) for part in self.waveforms.split(self.profile.batch))
        return not any((part != part[:, :1]).any() for part in parts)  # but for a bias

    def batches(self, stage: str, epoch: int) -> Iterator[Tensor]:
        """Yield the indices of an epoch's batches, in an order that depends on seed, stage and epoch alone."""
        order = np.arange(len(self.waveforms))
        if epoch:
            order = np.random.default_rng((self.cell.seed, STAGES.index(stage), epoch)).permutation(len(order))
        yield from to_device(order, self.device).split(self.profile.batch)

    def run_epoch(self, stage: str, epoch: int, optimiser: Optimiser | None) -> tuple[dict[str, float], int]:
        """Train one epoch (evaluate, if it is 0); return the mean loss by spectrum, and the number of updates.

        FloatingPointError if a loss is not finite.
        """
        sums: dict[str, Tensor] = {}
        updates = 0
        for index in self.batches(stage, epoch):
            values = self.step(stage, index, optimiser if epoch else None)
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.double().sum()
            updates += bool(epoch) * UPDATES[stage]
        totals = torch.stack(
            list(sums.values())
        ).tolist()  # the only time that a GPU is waited for, but for a lost gradient
        means = {name: total / len(self.waveforms) for name, total in zip(sums, totals, strict=True)}
        bad = [name for name, value in means.items() if not np.isfinite(value)]
        if bad:
            raise FloatingPointError(f"{self.cell.name}: the {', '.join(bad)} loss is not finite in {stage} {epoch}")
        return means, updates


def autoencoder_losses(cell: Cell, profile: Profile, notes: nsynth.Notes, epochs: int) -> list[float]:
    """Train the autoencoder of a cell; return its training loss before the first and after each epoch."""
    trainer = Trainer(cell, profile, notes, torch.device("cpu"))
    optimiser = trainer.optimiser("autoencoder")
    return [trainer.run_epoch("autoencoder", epoch, optimiser)[0][cell.loss] for epoch in range(epochs + 1)]


# The time of a stage: by the wall clock, and of the CPU, which other jobs do not lengthen.
CLOCKS = {"seconds": time.perf_counter, "cpu_seconds": time.process_time}


def keep_freed_memory() -> None:
    """Have the GNU C library keep freed memory for the next step; elsewhere do nothing.

    By default a fifth of a step of the LSTM goes into returning pages and fetching them again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: free memory at the end of the heap stays
        if not mallopt(-3, 2**30):  # M_MMAP_THRESHOLD: large blocks come from the heap
            mallopt(-3, 2**25)  # the most that older versions take


def train_cell(cell: Cell, profile: Profile, device: str = "auto", log: Callable[[str], None] = print) -> Run:
    """Train one model of the grid through its three stages and write its records.

    A finished run of the same recipe is returned as it is (graded again if grades have changed); an interrupted one
    resumes after its last whole epoch; damaged records, or those of another recipe, are set aside first.

    Parameters
    ----------
    cell, profile : Cell, Profile
        The model; notes, sizes, epochs.
    device : str
        ``"auto"``, or a device of torch; see `singlib.network.devices.resolve_device`.
    log : callable
        Takes a line for each epoch.

    Returns
    -------
    Run
        The finished records.

    Raises
    ------
    FileNotFoundError, ValueError
        If the profile's notes are missing or not in NSynth's format, or there is no such device.
    FloatingPointError
        If a loss is no longer finite.
    """
    where = resolve_device(device)
    run = Run(cell, profile)
    profile = run.profile  # as it is for this cell
    with run.owned():
        state = run.state()
        notes = nsynth.load_notes(profile.data, cell.roles) if state != "done" else None  # before anything is moved
        if state in ("stale", "damaged"):
            why = f"{run.stale_because()} changed" if state == "stale" else run.damage()
            log(f"{cell.name}: {why}; old records moved to {run.set_aside()}, training it again")
        if run.state() == "done":
            run.drop_checkpoint()  # which a kill after the marker left
            log(f"{cell.name} is done already")
            return run
        if run.state() == "ungraded":
            log(f"{cell.name} is trained; grading its notes again")
            _grade(run, notes)
            run.mark()
            return run
        keep_freed_memory()
        make_repeatable(profile.threads, where)
        trainer = Trainer(cell, profile, notes, where)
        log(f"{cell.name}: {len(notes)} notes of data/{profile.data}, on {where}")
        history, clocks, legs = _train(trainer, run, log)
        run.write_history(history)
        model = Model(trainer.sing, _about(run, notes))
        run.save_weights(_arrays(trainer.sing.state_dict()), model.about)
        _generate(model, run, notes)
        _grade(run, notes)
        facts = _provenance(profile, where, clocks, history) | {"activations": trainer.activations()}
        run.finish(run.recipe | facts | {"legs": legs})
    return run


def make_repeatable(threads: int, device: torch.device) -> None:
    """Make a cell's numbers the same each time on the same machine."""
    torch.set_num_threads(threads)
    if device.type == "cuda":  # on CPU they are as it is, and this call costs 2 s
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS may sum in another order
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False


def _train(
    trainer: Trainer, run: Run, log: Callable[[str], None]
) -> tuple[list[dict], dict[str, dict[str, float]], list[dict]]:
    """Run the stages from the checkpoint on; return history, seconds of each stage by clock, and legs.

    A leg is the part that one kind of machine did (`machine`), with the stage and epoch that it began at.
    """
    history: list[dict] = []
    clocks = {name: dict.fromkeys(STAGES, 0.0) for name in CLOCKS}
    first_stage, first_epoch, kept = 0, 0, {}
    here = machine(trainer.device)
    legs = [here | {"stage": STAGES[0], "epoch": 0}]
    checkpoint = run.load_checkpoint()
    if checkpoint:
        tensors, about = checkpoint
        history = about["history"]
        clocks = {name: about[name] for name in CLOCKS if name in about}
        first_stage, first_epoch = STAGES.index(about["stage"]), about["epoch"] + 1
        log(f"resuming after {about['stage']} epoch {about['epoch']}")
        legs = about.get("legs", [dict.fromkeys(here, "unknown") | {"stage": STAGES[0], "epoch": 0}])
        last = here | {key: legs[-1][key] for key in here.keys() & legs[-1]}  # which an older singlib did not all note
        if last != here:
            changes = ", ".join(f"{key} ({last[key]} -> {here[key]})" for key in here if last[key] != here[key])
            log(f"on another machine than before: {changes}; the record will say both")
            stage, epoch = about["stage"], first_epoch
            if epoch > trainer.profile.epochs[first_stage] and stage != STAGES[-1]:
                stage, epoch = STAGES[first_stage + 1], 0
            legs = [*legs, here | {"stage": stage, "epoch": epoch}]
        kept = {key: torch.from_numpy(value) for key, value in tensors.items()}
        modules = trainer.modules()
        modules.load_state_dict({key: kept[key] for key in modules.state_dict()})

    for number, stage in list(enumerate(STAGES))[first_stage:]:
        epochs = trainer.profile.epochs[number]
        resumed = first_epoch if number == first_stage else 0
        updates = history[-1]["updates"] if resumed else 0
        optimiser = trainer.optimiser(stage, updates)
        if resumed:
            optimiser.restore(kept)
        if stage == "lstm":
            trainer.encode()
        for epoch in range(resumed, epochs + 1):
            begun = {name: clock() for name, clock in CLOCKS.items()}
            means, made = trainer.run_epoch(stage, epoch, optimiser)
            updates += made
            history += _rows(trainer.cell, stage, epoch, updates, means)
            for name, seconds in clocks.items():
                seconds[stage] += CLOCKS[name]() - begun[name]
            state = trainer.modules().state_dict() | optimiser.tensors()
            run.save_checkpoint(
                _arrays(state), {"stage": stage, "epoch": epoch, "history": history, "legs": legs} | clocks
            )
            log(_progress(trainer.profile, stage, epoch, means, clocks["seconds"][stage] / (epoch + 1)))
        optimiser.finish()
        if stage == "autoencoder" and trainer.silent():
            log(
                f"{trainer.cell.name}: after its autoencoder every note is silent, and it will hardly learn more; "
                "a profile whose rate rises over more updates (warm_up, own_warm_up) may keep it alive"
            )
    return history, clocks, legs


def _rows(cell: Cell, stage: str, epoch: int, updates: int, means: dict[str, float]) -> list[dict]:
    train = "codes" if stage == "lstm" else cell.loss
    fixed = {"stage": stage, "epoch": epoch, "updates": updates}
    spectra = [name for name in ("codes", *LOSSES) if name in means]
    return [
        fixed | {"spectrum": name, "role": "train" if name == train else "side", "loss": means[name]}
        for name in spectra
    ]


def _progress(profile: Profile, stage: str, epoch: int, means: dict[str, float], pace: float) -> str:
    """Return the line of an epoch: losses, and the time left at this stage's pace."""
    number = STAGES.index(stage)
    left = pace * (profile.epochs[number] - epoch + sum(profile.epochs[number + 1 :]))
    losses = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
    return f"{stage:12} {epoch:3}/{profile.epochs[number]}  {losses}  ({pace:.1f} s an epoch, about {left:.0f} s left)"


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {key: value.cpu().numpy() for key, value in tensors.items()}


def _about(run: Run, notes: nsynth.Notes) -> dict:
    """Return what `load_model` needs beside the weights."""
    profile, cell = run.profile, run.cell
    shape = {"instruments": len(notes.roles), "activation": cell.activation, "elu_alpha": cell.elu_alpha}
    shape |= {key: getattr(profile, key) for key in ("channels", "dimension", "hidden", "layers")}
    played = {role: notes.pitch[notes.instrument == i] for i, role in enumerate(notes.roles)}
    pitches = {role: [int(pitch.min()), int(pitch.max())] for role, pitch in played.items()}
    trained = {role: [label[1:] for label in notes.labels() if label.role == role] for role in notes.roles}
    about = {"cell": cell.name, "profile": profile.name, "shape": shape, "roles": notes.roles}
    return about | {"pitches": pitches, "notes": trained}


def _labels(run: Run, notes: nsynth.Notes) -> list[nsynth.Label]:
    return [label for role in notes.roles for label in selection.notes_to_generate(run.profile.data, role)]


def _generate(model: Model, run: Run, notes: nsynth.Notes) -> None:
    """Write the notes of Table 2's last column as FLAC."""
    labels = _labels(run, notes)
    write_notes(run.folder / "generated", labels, model.generate(labels), "flac")


def _grade(run: Run, notes: nsynth.Notes) -> None:
    """Write quality.csv, a row for each generated note as it is on disk."""
    place = {label: i for i, label in enumerate(notes.labels())}
    rows = []
    for label in _labels(run, notes):
        waveform, _ = soundfile.read(run.generated_file(label))
        rows.append(label._asdict() | grade(waveform, notes.waveforms[place[label]], label.pitch))
    with replacing(run.folder / "quality.csv") as beside:
        pd.DataFrame(rows).to_csv(beside, index=False)


def device_name(device: torch.device) -> str:
    """Name the GPU, or the CPU and its vector instructions, on which the last bit of a sum depends."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or 'cpu'}, {torch.backends.cpu.get_cpu_capability()}"


def machine(device: torch.device) -> dict[str, str]:
    """Return what the last bits of the numbers depend on."""
    numbers = {"device": device_name(device), "processor": processor_name(), "platform": platform.platform()}
    if device.type == "cuda":
        numbers["cudnn"] = str(torch.backends.cudnn.version())
    return numbers | {"torch": torch.__version__}


def processor_name() -> str:
    """Name the model of the CPU, of which one kind of vector instructions has many; empty where it is not told."""
    known = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", known.read_text(encoding="utf-8"), re.M) if known.is_file() else []
    return names[0] if names else platform.processor()


def _provenance(profile: Profile, device: torch.device, clocks: dict[str, dict], history: list[dict]) -> dict:
    packages = ("torch", "numpy", "scipy", "librosa", "soundfile", "safetensors", "swift-f0", "zimtohrli")
    last = {stage: [row["updates"] for row in history if row["stage"] == stage][-1] for stage in STAGES}
    return {
        "profile": profile.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **{what: name for what, name in machine(device).items() if what != "torch"},  # which is one of the packages
        "device_type": device.type,
        "tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "threads": profile.threads,
        **{name: {stage: round(value, 2) for stage, value in seconds.items()} for name, seconds in clocks.items()},
        "updates": last,
        "singlib": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
