"""A model's file: the weights of the network and its description, checked before either is used."""

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..grid import ACTIVATIONS
from ..nsynth import PITCHES, TABLE2, VELOCITIES
from .sing import SING, Decoder, SequenceGenerator

SIZES = ("instruments", "channels", "dimension", "hidden", "layers")  # that build a network


def build(shape: dict) -> SING:
    """Build the network of the shape that a weights file names."""
    sequence = SequenceGenerator(shape["instruments"], shape["dimension"], shape["hidden"], shape["layers"])
    return SING(sequence, Decoder(shape["channels"], shape["dimension"], shape["activation"], shape["elu_alpha"]))


def read(path: Path | str) -> tuple[SING, dict]:
    """Read the network, in float32, and its description (see `singlib.network.generation.Model`).

    The file is a ``sing.safetensors`` of any floating dtype. FileNotFoundError if there is none; ValueError if it is no
    model of singlib, its tensors are not those of the network it describes, or a weight is not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
        _check_description(about)
        _check_tensors(about["shape"], tensors)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, RecursionError) as error:  # OSError: of a folder, "No such device"
        raise ValueError(f"{path} holds no model of singlib ({error})") from error
    sing = build(about["shape"])
    sing.load_state_dict(tensors)  # in float32: some files keep 16 bits
    return sing, about


def _check_description(about: object) -> None:
    """Raise a ValueError unless a network can be built and played by a description."""

    def holds(right: bool, key: str) -> None:
        if not right:
            raise ValueError(f"its description has {key} {about.get(key)!r}"[:200])

    about = about if isinstance(about, dict) else {}
    missing = [key for key in ("shape", "roles", "pitches") if key not in about]
    if missing:
        raise ValueError(f"its description lacks {', '.join(missing)}")
    shape, roles, pitches, notes = (about.get(key, {}) for key in ("shape", "roles", "pitches", "notes"))
    holds(isinstance(shape, dict) and all(_whole(shape.get(size), 1, 2**20) for size in SIZES), "shape")
    alpha = shape.get("elu_alpha")
    holds(shape.get("activation") in ACTIVATIONS and type(alpha) in (int, float) and 0 < alpha < math.inf, "shape")
    holds(isinstance(roles, list) and all(role in list(TABLE2) for role in roles), "roles")
    holds(len(set(roles)) == len(roles) == shape["instruments"], "roles")
    holds(isinstance(pitches, dict) and all(_pitches(pitches.get(role)) for role in roles), "pitches")
    holds(isinstance(notes, dict) and ("notes" not in about or all(_notes(notes.get(role)) for role in roles)), "notes")
    holds(isinstance(about.get("profile", ""), str), "profile")


def _whole(value: object, lowest: int, highest: int) -> bool:
    return type(value) is int and lowest <= value <= highest


def _pitches(ends: object) -> bool:
    right = isinstance(ends, list) and len(ends) == 2 and all(_whole(pitch, 0, PITCHES - 1) for pitch in ends)
    return right and ends[0] <= ends[1]


def _notes(notes: object) -> bool:
    pairs = isinstance(notes, list) and notes and all(isinstance(note, list) and len(note) == 2 for note in notes)
    return pairs and all(_whole(pitch, 0, PITCHES - 1) and velocity in VELOCITIES for pitch, velocity in notes)


def _check_tensors(shape: dict, tensors: dict[str, torch.Tensor]) -> None:
    """Raise a ValueError unless tensors are those of the network of a shape, before memory is allocated for it."""
    if shape["layers"] > len(tensors):
        raise ValueError(f"it has {len(tensors)} tensors, too few for {shape['layers']} layers")
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in build(shape).state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            raise ValueError(f"{name} is {'missing' if name in wanted else 'no tensor of the network it describes'}")
        if tuple(tensors[name].shape) != wanted[name]:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, its description says {wanted[name]}")
        if not tensors[name].is_floating_point():
            raise ValueError(f"{name} is of {tensors[name].dtype}, not of a floating dtype")
        if not tensors[name].float().isfinite().all():
            raise ValueError(f"its weights are not finite in {name}")
