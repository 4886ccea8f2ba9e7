"""Write frere-jacques.mid: the French round "Frère Jacques" (anonymous, 18th century, public domain) in three voices.

    python data/songs/make.py

needs mido. Each voice has a channel of its own and enters eight beats after the one before.
"""

from pathlib import Path

import mido

BEAT = 480  # ticks
# MIDI pitch and beats of each note; every bar is sung twice.
BARS = (
    ((60, 1), (62, 1), (64, 1), (60, 1)),
    ((64, 1), (65, 1), (67, 2)),
    ((67, 0.5), (69, 0.5), (67, 0.5), (65, 0.5), (64, 1), (60, 1)),
    ((60, 1), (55, 1), (60, 2)),
)
VOICES = ((0, 100), (-12, 127), (12, 75))  # semitones from the tune, velocity


def song() -> mido.MidiFile:
    """Return the round at 120 beats a minute."""
    tracks = []
    for channel, (shift, velocity) in enumerate(VOICES):
        track, rest = mido.MidiTrack(), 8 * BEAT * channel
        for pitch, beats in (note for bar in BARS for _ in range(2) for note in bar):
            length = round(beats * BEAT)
            note = {"channel": channel, "note": pitch + shift}
            track.append(mido.Message("note_on", velocity=velocity, time=rest, **note))
            track.append(mido.Message("note_off", time=length - BEAT // 16, **note))
            rest = BEAT // 16
        tracks.append(track)
    tracks[0].insert(0, mido.MetaMessage("track_name", name="Frère Jacques"))
    return mido.MidiFile(ticks_per_beat=BEAT, tracks=tracks)


if __name__ == "__main__":
    song().save(Path(__file__).with_name("frere-jacques.mid"))
