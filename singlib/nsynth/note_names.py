"""Names of pitches: MIDI numbers, scientific names (``F#4``) and German ones (``fis'``); middle C is 60, C4 and c'."""

import re

_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 10, "h": 11}  # the German b is B flat
_GERMAN = re.compile(r"([A-Ha-h])((?<![Bb])is|(?<=[AaEe])s|(?<=[CDFGHcdfgh])es)?('*)")


def midi_pitch(name: str) -> int:
    """Return the MIDI number of a pitch, 0 to 127.

    A name with a digit is scientific: a letter, ``#`` or ``b``, an octave; ``B4`` is 71. One without is German, after
    Helmholtz: ``H`` is a key above ``B``, ``is`` raises, ``es`` or ``s`` lowers; capitals are the octave from 36, small
    letters that from 48, and each prime is one up, so that ``b'`` is 70. ValueError if it is no name, or out of range.
    """
    text = name.strip().replace("’", "'")
    if re.fullmatch(r"-?\d+", text):
        pitch = int(text)
    elif re.fullmatch(r"[A-Ga-g](#|♯|b|♭)?-?\d", text):
        import librosa  # half a second

        pitch = int(librosa.note_to_midi(text))
    elif (match := _GERMAN.fullmatch(text)) and not (text[0].isupper() and match[3]):
        letter, bent, primes = match.groups()
        pitch = (36 if letter.isupper() else 48) + _STEPS[letter.lower()] + 12 * len(primes)
        pitch += {None: 0, "is": 1}.get(bent, -1)
    else:
        raise ValueError(f"{name!r} is no pitch; one is 66, F#4 or fis'")
    if not 0 <= pitch <= 127:
        raise ValueError(f"pitch {text} is no MIDI pitch: 0 to 127")
    return pitch
