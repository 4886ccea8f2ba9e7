"""NSynth's own format: its notes on disk, which of them the paper takes, and how they are fetched."""

from .audio import SAMPLE_RATE, SAMPLES, read_waveform
from .notes import (
    PITCHES,
    ROLES,
    SOURCES,
    TABLE2,
    VELOCITIES,
    Label,
    Notes,
    at_hand,
    digest,
    index,
    load_notes,
    paper_notes,
    select,
    used,
)
