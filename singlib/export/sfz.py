"""A model as an instrument for samplers, in the SFZ format (https://sfzformat.com), opcodes of its first version."""

from pathlib import Path

from .. import __version__
from ..files import write_text
from ..network.generation import load_model
from ..nsynth import SAMPLE_RATE, Label
from .samples import RELEASE, find_loop, sounding, trained_notes, write_samples

_HEAD = """\
// {model}, {role}: notes of a neural synthesiser, by singlib {version}. README.md is its card.
// Notes are as loud as the model plays them, whatever the velocity: amp_veltrack=100 lets the sampler follow it too.
<group> amp_veltrack=0 ampeg_release={release}
"""


def zones(trained: list[Label]) -> dict[Label, tuple[int, int, int, int]]:
    """Return lowest and highest key, lowest and highest velocity that each trained note of an instrument sounds for.

    Keys reach from the lowest trained pitch to the highest, velocities from 1 to 127; each pair sounds the note of
    `sounding`.
    """
    pitches = [label.pitch for label in trained]
    sounds = {key: sounding(trained, key, 1).pitch for key in range(min(pitches), max(pitches) + 1)}
    found = {}
    for label in trained:
        own = [other for other in trained if other.pitch == label.pitch]
        keys = [key for key, pitch in sounds.items() if pitch == label.pitch]
        levels = [level for level in range(1, 128) if sounding(own, label.pitch, level) == label]
        found[label] = (keys[0], keys[-1], levels[0], levels[-1])
    return found


def write_sfz(
    weights: Path, folder: Path, rate: int = SAMPLE_RATE, suffix: str = "flac", instruments: bool = True
) -> list[Path]:
    """Write ``<role>.sfz`` for each instrument of a model, with the folder of `write_samples`; return its files.

    A note that sustains has a loop (`find_loop`). Without `instruments` only the samples are written. Errors are those
    of `write_samples` and of `load_model`.
    """
    model = load_model(weights)
    regions: dict[str, list[str]] = {role: [] for role in model.roles}
    every = {role: zones(trained_notes(model, role)) for role in model.roles}
    for label, sound in write_samples(model, weights, folder, "sfz" if instruments else "folder", rate, suffix):
        lowest, highest, soft, loud = every[label.role][label]
        loop = find_loop(sound, rate)
        looped = f"loop_mode=loop_sustain loop_start={loop[0]} loop_end={loop[1] - 1}" if loop else "loop_mode=no_loop"
        regions[label.role].append(
            f"<region> sample=samples/{label}.{suffix} lokey={lowest} hikey={highest} lovel={soft} hivel={loud} "
            f"pitch_keycenter={label.pitch} {looped}\n"
        )
    files = []
    for role, lines in regions.items() if instruments else ():
        name = model.about.get("cell", weights.stem)
        head = _HEAD.format(model=name, role=role, version=__version__, release=RELEASE)
        write_text(folder / f"{role}.sfz", head + "".join(lines))
        files.append(folder / f"{role}.sfz")
    return files or [folder / "notes.csv"]
