"""Render data/mini: 220 notes of recorded instruments, in NSynth's own layout.

The notes come from the FluidR3 General MIDI soundfont (MIT licence, see LICENSE beside this file)
played by FluidSynth. They let every figure of the paper be drawn on a fresh clone; they are not
NSynth's, and their names say so. The notes are committed: run this only to change them.

    apt-get install fluidsynth fluid-soundfont-gm && pip install mido
    python data/mini/render.py
"""

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

HERE = Path(__file__).parent
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SOUNDFONT_SHA256 = "74594e8f4250680adf590507a306655a299935343583256f3b722c48a1bc1cb0"
RENDER_RATE, SAMPLE_RATE = 48_000, 16_000  # Hz
HELD, LENGTH, SPACING = 3, 4, 10  # seconds: released at 3, cut at 4, ten apart so that no tail overlaps
VELOCITIES = (25, 50, 75, 100, 127)

# name, General MIDI program, family and its number in NSynth, MIDI pitches: 1/11 of Table 2
INSTRUMENTS = (
    ("fluidr3_grand_piano", 0, "keyboard", 4, (21, 33, 45, 56, 66, 80, 94, 108)),
    ("fluidr3_vibraphone", 11, "mallet", 7, (53, 58, 63, 68, 74, 79, 84, 89)),
    ("fluidr3_choir_aahs", 52, "vocal", 10, (40, 53, 66, 79)),
    ("fluidr3_trombone", 57, "brass", 1, (38, 50, 62)),
    ("fluidr3_trumpet", 56, "brass", 1, (54, 60, 66, 72, 78, 84)),
    ("fluidr3_tuba", 58, "brass", 1, (29, 41, 53)),
    ("fluidr3_french_horn", 60, "brass", 1, (41, 47, 53, 59, 65, 72)),
    ("fluidr3_brass_section", 61, "brass", 1, (36, 46, 55, 64, 74, 84)),
)


def play(program: int, notes: list[tuple[int, int]], folder: Path) -> np.ndarray:
    """Play (pitch, velocity) notes `SPACING` seconds apart; return the mono sum at `SAMPLE_RATE`."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    track.append(mido.Message("program_change", program=program))
    for number, (pitch, velocity) in enumerate(notes):
        rest = (SPACING - HELD) * 1000 if number else 0
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, time=rest))
        track.append(mido.Message("note_off", note=pitch, velocity=0, time=HELD * 1000))
    midi = mido.MidiFile(ticks_per_beat=1000, tracks=[track])
    midi.save(folder / "notes.mid")
    command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "1", "-r", str(RENDER_RATE)]
    command += ["-O", "float", "-T", "wav", "-F", folder / "notes.wav", SOUNDFONT, folder / "notes.mid"]
    subprocess.run(command, check=True)
    stereo, rate = soundfile.read(folder / "notes.wav")
    return soxr.resample(stereo.mean(1), rate, SAMPLE_RATE)


def main() -> None:
    """Render every instrument, then write examples.json and SHA256SUMS."""
    digest = hashlib.sha256(SOUNDFONT.read_bytes()).hexdigest()
    if digest != SOUNDFONT_SHA256:
        raise SystemExit(f"{SOUNDFONT} has SHA-256 {digest}; the notes were made with {SOUNDFONT_SHA256}")
    audio = HERE / "audio"
    audio.mkdir(exist_ok=True)
    examples = {}
    for number, (name, program, family, family_number, pitches) in enumerate(INSTRUMENTS):
        notes = [(pitch, velocity) for pitch in pitches for velocity in VELOCITIES]
        with tempfile.TemporaryDirectory() as folder:
            sound = play(program, notes, Path(folder))
        for place, (pitch, velocity) in enumerate(notes):
            start = place * SPACING * SAMPLE_RATE
            waveform = np.zeros(LENGTH * SAMPLE_RATE)
            part = sound[start : start + LENGTH * SAMPLE_RATE]
            waveform[: len(part)] = part
            # NSynth's notes are near full scale whatever their velocity: the timbre tells them apart.
            waveform *= (0.6 + 0.35 * (velocity - 25) / 102) / np.abs(waveform).max()
            key = f"{name}-{pitch:03d}-{velocity:03d}"
            soundfile.write(audio / f"{key}.flac", waveform, SAMPLE_RATE, subtype="PCM_16")
            examples[key] = {
                "note": len(examples),
                "note_str": key,
                "instrument": number,
                "instrument_str": name,
                "pitch": pitch,
                "velocity": velocity,
                "sample_rate": SAMPLE_RATE,
                "qualities": [0] * 10,
                "qualities_str": [],
                "instrument_family": family_number,
                "instrument_family_str": family,
                "instrument_source": 0,
                "instrument_source_str": "acoustic",
            }
    (HERE / "examples.json").write_text(json.dumps(examples, indent=1) + "\n")
    files = [HERE / "examples.json", *sorted(audio.iterdir())]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(HERE)}\n" for file in files]
    (HERE / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
