"""From an archive to the figures by the two commands of the README, at smoke size."""

import os
import subprocess
import sys
from pathlib import Path

from nsynth_archive import WANTED, members, packed

from conftest import PROJECT, make_root
from singlib.grid import PROFILES
from singlib.nsynth import ROLES, TABLE2


def test_every_profile_has_an_instrument_for_every_role():
    for profile in PROFILES.values():
        assert set(ROLES[profile.data]) == set(TABLE2), profile.name


def test_make_data_and_make_paper(tmp_path):
    archive = tmp_path / "with a space.tar.gz"
    archive.write_bytes(packed(members()))
    root = make_root(tmp_path / "root")
    environment = os.environ | {"SINGLIB_ROOT": str(root)}

    def make(*arguments):
        command = ["make", f"BIN={Path(sys.executable).parent}", "--assume-old=.venv/.fresh", *arguments]
        return subprocess.run(command, cwd=PROJECT, env=environment, stdout=-1, text=True, check=True).stdout

    table = make("data", "SPLIT=test", f"SOURCE={archive}")
    assert all(instrument in table for instrument in ROLES["nsynth-test"].values())
    assert len(list((root / "data" / "nsynth-test" / "audio").iterdir())) == len(WANTED)
    make("paper", "PROFILE=smoke-nsynth")
    figures = root / "figures" / "smoke-nsynth"
    assert len(list(figures.glob("fig*.png"))) == 22 and (figures / "report.html").exists()
    assert "keyboard_acoustic_004" in (figures / "table2.md").read_text()
