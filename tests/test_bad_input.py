"""Bad notes, weights and wishes are refused in a sentence that names them, before anything is lost."""

import os
import subprocess
import sys

import numpy as np
import pytest

from singlib import measures
from singlib.quality import grade

TONE = np.sin(np.arange(64_000) / 10)


@pytest.mark.parametrize("samples", [1, 1000, 1316])
def test_a_sound_too_short_for_the_ear_is_refused_before_it_kills_the_process(samples):
    """Native code would write beyond its memory; in a process of its own, since the tests would die with it."""
    asked = (
        f"import numpy as np; from singlib.quality import grade; x = np.sin(np.arange({samples}) + 1); grade(x, x, 69)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ValueError: ")
    assert f"({samples},)" in done.stderr and "1317" in done.stderr


def test_the_shortest_sound_is_compared():
    """Its memory is watched by the C library, which ends the process at a write beyond its end."""
    asked = "import numpy as np; from singlib.measures import distance, _SHORTEST as n\n"
    asked += "for seed in range(20): print(distance(*np.random.default_rng(seed).standard_normal((2, n))))"
    watched = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=os.environ | watched)
    assert done.returncode == 0, done.stderr
    assert all(0 <= float(line) <= 1 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "spoilt",
    [np.where(TONE > 0.9, np.nan, TONE), np.where(TONE > 0.9, np.inf, TONE), TONE * 1e12, TONE[None], TONE[:0]],
)
def test_no_sound_reaches_native_code_unchecked(spoilt):
    """On what is no number zimtohrli's time warping runs until the memory is full."""
    with pytest.raises(ValueError, match="not to be compared"):
        measures.distance(spoilt, TONE)
    with pytest.raises(ValueError, match="not to be compared"):
        measures.distance(TONE, spoilt)


def test_a_grade_of_sounds_beyond_any_scale_is_refused():
    with pytest.raises(ValueError, match="beyond 1e"):
        grade(TONE, TONE * 1e15, 69)
