"""A Standard MIDI File played by models: one on each channel, any number of notes at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soxr

from ..files import naming_damage
from ..grid import check_choice
from ..network.generation import Model
from ..nsynth import SAMPLE_RATE, TABLE2, Label
from .samples import RELEASE, generate_all, let_go, sounding, sustained, trained_notes

DRUMS = 10  # as musicians count channels, from 1
OUTSIDE = ("octaves", "leave-out")
LONGEST = 3600  # s
LOUDEST = 10 ** (-1 / 20)  # -1 dB: between samples a waveform may rise above them

_PEDAL, _DOWN = 64, 64  # controller of the sustain pedal, and from which value it is down
_SOUND_OFF, _RESET, _NOTES_OFF = 120, 121, 123  # controllers: silence; pedal up; all keys up


class Played(NamedTuple):
    """A note of a song: channel 1 to 16, MIDI pitch and velocity, seconds at which its key goes down and up."""

    channel: int
    pitch: int
    velocity: int
    start: float
    end: float


class Voice(NamedTuple):
    """What plays a channel: a model and one of its instruments."""

    model: Model
    role: str


def read_song(file: Path) -> list[Played]:
    """Read the notes of a MIDI file in the order of their start; the sustain pedal holds keys.

    FileNotFoundError; ValueError, which names the file, if it is no MIDI file of type 0 or 1 in beats, has no note, or
    is longer than an hour.
    """
    notes: list[Played] = []
    down: dict[tuple[int, int], tuple[int, float]] = {}  # velocity and start by channel and pitch
    again: dict[tuple[int, int], float] = {}  # when a key that was down was struck once more
    held: set[tuple[int, int]] = set()  # let go, but held by the pedal
    pedal: set[int] = set()

    def end(keys: set[tuple[int, int]], now: float) -> None:
        for key in keys & down.keys():
            velocity, start = down.pop(key)
            notes.append(Played(*key, velocity, start, now))
        held.difference_update(keys)

    # mido has an error of its own for each fault that it knows, and Python's for those that it does not
    faults = (OSError, EOFError, KeyError, IndexError, TypeError, mido.KeySignatureError, ZeroDivisionError)
    if not file.is_file():
        raise FileNotFoundError(f"no MIDI file {file}")
    with naming_damage(file, *faults):
        song = mido.MidiFile(file, clip=True)
    if song.type == 2:
        raise ValueError(f"{file} is of type 2, whose tracks are songs of their own: save it as type 0 or 1")
    if not 0 < song.ticks_per_beat < 2**15:
        raise ValueError(f"{file} counts time in frames (SMPTE): save it with time in beats")
    with naming_damage(file, *faults):
        messages = list(song)
    now = 0.0
    for message in messages:
        now += message.time
        if now > LONGEST:
            raise ValueError(f"{file} is longer than {LONGEST / 3600:.0f} h")
        if message.type not in ("note_on", "note_off", "control_change"):
            continue
        channel = message.channel + 1
        if message.type == "control_change":
            own = {key for key in down if key[0] == channel}
            if message.control == _SOUND_OFF:
                end(own, now)
            elif message.control == _NOTES_OFF:
                held.update(own)
            elif message.control == _PEDAL and message.value >= _DOWN:
                pedal.add(channel)
            elif message.control in (_PEDAL, _RESET):
                pedal.discard(channel)
            end({key for key in held if key[0] not in pedal}, now)
            continue
        key = channel, message.note
        if message.type == "note_on" and message.velocity:
            if key in down:
                again[key] = now
            end({key}, now)
            down[key] = message.velocity, now
        elif again.get(key) == now:
            del again[key]  # of the note before: tracks that share a channel come in any order
        elif channel in pedal:
            held.add(key)
        else:
            end({key}, now)
    end(set(down), now)
    if not notes:
        raise ValueError(f"{file} has no note")
    return sorted(notes, key=lambda note: note.start)


def cast(names: Sequence[str], channels: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """Return the name of the model and the instrument of each channel from what ``--model`` says.

    ``[CHANNEL=]MODEL[:INSTRUMENT]``; those without a channel play, in their order, the channels of the song that are
    left, the last of them all the rest; the drums' channel 10 plays only if it is named. ValueError for a channel that
    is none, is named twice or is not in the song.
    """
    parts, free = {}, []
    for text in names:
        number, _, rest = text.partition("=")
        number, rest = (number, rest) if number.isdecimal() and rest else ("", text)
        name, _, role = rest.rpartition(":")
        if name and role not in TABLE2 and not Path(rest).exists():
            raise ValueError(f"--model {text}: unknown instrument {role!r}; choose one of {', '.join(TABLE2)}")
        part = (name, role) if name and role in TABLE2 else (rest, None)
        if not number:
            free.append(part)
        elif int(number) not in channels:
            raise ValueError(f"--model {text}: the song has no channel {number}; {_listed(channels)}")
        elif int(number) in parts:
            raise ValueError(f"--model {text}: channel {number} has a model already")
        else:
            parts[int(number)] = part
    if free and list(channels) == [DRUMS]:
        raise ValueError(f"the song has only channel {DRUMS}, the drums: name it, --model {DRUMS}={names[0]}")
    left = [channel for channel in channels if channel not in parts and channel != DRUMS]
    if len(free) > len(left):
        raise ValueError(f"{len(free)} models for {len(left)} channels: {_listed(channels)}")
    return parts | {channel: free[min(place, len(free) - 1)] for place, channel in enumerate(left) if free}


def _listed(channels: Sequence[int]) -> str:
    return f"it has {', '.join(map(str, channels))}"


def play(
    notes: Sequence[Played], voices: Mapping[int, Voice], outside: str = "octaves"
) -> tuple[np.ndarray, list[str]]:
    """Play a song: the sound ``(samples,)`` at 16 kHz, -1 dB at the most, and what was done to its notes, in words.

    A key sounds as `samples.sounding` says, moved in pitch if it is a neighbour's note; a pitch above or below what an
    instrument was trained on by octaves, or it is left out (`outside`, one of `OUTSIDE`). ValueError if nothing is left
    to be played.
    """
    check_choice("way with pitches outside", outside, OUTSIDE)
    said: dict[tuple[int, str], int] = {}  # by channel
    chosen: list[tuple[Played, int, Label]] = []  # with the pitch that is played, and the note that is taken for it
    trained = {channel: trained_notes(*voice) for channel, voice in voices.items()}
    for note in notes:
        if note.channel not in voices:
            words = "have no model: left out"
        else:
            pitches = voices[note.channel].model.pitches(voices[note.channel].role)
            pitch = _into(note.pitch, pitches[0], pitches[-1]) if outside == "octaves" else note.pitch
            words = f"outside the range of {voices[note.channel].role} (MIDI {pitches[0]} to {pitches[-1]})"
            if not pitches[0] <= pitch <= pitches[-1]:
                words += ": left out"
            else:
                label = sounding(trained[note.channel], pitch, note.velocity)
                chosen.append((note, pitch, label))
                words = f"{words}: transposed by octaves into it" if pitch != note.pitch else ""
                if label.pitch != pitch:
                    near = f"with a pitch that {label.role} was not trained on: the nearest note is shifted"
                    said[note.channel, near] = said.get((note.channel, near), 0) + 1
        if words:
            said[note.channel, words] = said.get((note.channel, words), 0) + 1
    on_channel = Counter(note.channel for note in notes)
    remarks = [
        f"channel {channel}: {count} of {on_channel[channel]} notes {words}"
        for (channel, words), count in sorted(said.items())
    ]
    if not chosen:
        raise ValueError("; ".join(["nothing is left to be played", *remarks]))
    waveforms = _waveforms(voices, chosen)
    length = max(note.end for note, _, _ in chosen) + RELEASE
    sound = np.zeros(round(length * SAMPLE_RATE) + 1, np.float32)
    for note, pitch, label in chosen:
        played = let_go(waveforms[id(voices[note.channel].model), label, pitch], note.end - note.start)
        start = round(note.start * SAMPLE_RATE)
        sound[start : start + len(played)] += played[: len(sound) - start]
    return sound / max(1.0, np.abs(sound).max() / LOUDEST), remarks


def _into(pitch: int, lowest: int, highest: int) -> int:
    """Return a pitch moved by octaves into a range, if the range has one."""
    below, above = max(0, lowest - pitch), max(0, pitch - highest)
    return pitch + 12 * -(-below // 12) - 12 * -(-above // 12)


def _waveforms(voices: Mapping[int, Voice], chosen: Sequence[tuple[Played, int, Label]]) -> dict[tuple, np.ndarray]:
    """Return each note that is needed, once, by model, label and the pitch that it is moved to, and as long as it is.

    It is made longer before it is moved, which makes it shorter or longer: so its loop is that of a sampler.
    """
    found = {}
    models = {id(voice.model): voice.model for voice in voices.values()}
    for key, model in models.items():
        longest: dict[tuple[Label, int], float] = {}
        for note, pitch, label in chosen:
            if voices[note.channel].model is model:
                longest[label, pitch] = max(longest.get((label, pitch), 0), note.end - note.start + RELEASE)
        labels = sorted({label for label, _ in longest})
        made = dict(zip(labels, generate_all(model, labels), strict=True))
        for (label, pitch), seconds in longest.items():
            faster = 2 ** ((pitch - label.pitch) / 12)
            waveform = sustained(made[label], seconds * faster)
            if pitch != label.pitch:
                waveform = soxr.resample(waveform, SAMPLE_RATE, SAMPLE_RATE / faster)
            found[key, label, pitch] = waveform
    return found
