"""The listening test: blind, in a listener's own order, and no rating is lost."""

import base64
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from singlib import nsynth
from singlib.grading.grades import GRADES
from singlib.listening import blind_test
from singlib.listening.blind_test import ANCHOR, REFERENCE, ListeningTest, Session
from singlib.report import table3
from singlib.runs import records


@pytest.fixture
def smoke(smoke_root, tmp_path, monkeypatch):
    monkeypatch.setattr(blind_test, "folder", lambda profile: tmp_path / profile)
    return records.load("smoke")


def test_every_model_is_heard_with_reference_and_anchor_in_an_order_of_ones_own(smoke):
    one, other = (Session(smoke, name).stimuli() for name in ("anna", "ben"))
    assert one == Session(smoke, "anna").stimuli() != other and set(one) == set(other)
    trials = [list(group) for _, group in itertools.groupby(one, key=lambda stimulus: stimulus.label)]
    assert len(trials) == len({stimulus.label for stimulus in one}) == 2, "keys and brass1, a trial each"
    for trial in trials:
        assert {REFERENCE, ANCHOR} < {stimulus.cell for stimulus in trial}
    assert {stimulus.cell for stimulus in one} - {REFERENCE, ANCHOR} == set(smoke.history.cell)
    more = Session(smoke, "anna", notes=2).stimuli()
    assert len({stimulus.label for stimulus in more}) == 4


def decoded(html):
    """Return the sounds of players as a browser plays them."""
    sounds = re.findall('base64,([^"]*)', html)
    return [soundfile.read(io.BytesIO(base64.b64decode(sound)))[0] for sound in sounds]


def test_sounds_are_as_loud_as_the_note_and_hide_their_names(smoke, tmp_path, monkeypatch):
    session = Session(smoke, "anna")
    label, cell, _ = next(one for one in session.stimuli() if one.cell not in (REFERENCE, ANCHOR))
    peaky, find = tmp_path / "peaky.flac", type(smoke).generated_file
    clicks = np.where(np.arange(64_000) % 2000, 0, 0.5)  # at the power of the note they would be beyond full scale
    soundfile.write(peaky, clicks, 16_000)
    monkeypatch.setattr(type(smoke), "generated_file", lambda *of: peaky if of[1:] == (cell, label) else find(*of))
    as_it_is = np.mean(nsynth.read_waveform(nsynth.index("mini")[label]) ** 2)
    test = ListeningTest(session)
    for stimulus in session.stimuli():
        played = [np.mean(sound**2) for sound in decoded(test.players.value)]
        assert played[0] == pytest.approx(played[1], rel=0.01) or not played[1]
        assert (played[0] < 0.5 * as_it_is) == (stimulus.label == label), "all are turned down with the loudest"
        shown = re.sub('base64,[^"]*', "", test.where.value + test.players.value)
        assert stimulus == test.now
        assert not any(word in shown for word in (REFERENCE, ANCHOR, *smoke.history.cell.unique(), "STFT", "ReLU"))
        assert shown.count("<audio") == 2 and shown.count("autoplay") == 1
        test.field.value = "3"
    assert "Done" in test.where.value and not session.left(session.stimuli())


def test_a_key_is_a_grade_and_can_be_taken_back(smoke):
    session = Session(smoke, "anna")
    test = ListeningTest(session)
    first = test.now
    test.field.value = "6"
    assert test.field.value == "" and session.ratings().grade.tolist() == ["++"] and test.now != first
    test.field.value = "0"
    assert test.now == first and session.ratings().empty
    test.field.value = "x"
    assert "'x' is no grade: type 1 to 6" in test.message.value and session.ratings().empty
    test.buttons[1].click()
    assert session.ratings().grade.tolist() == ["-/o"]
    said = session.ratings().iloc[0]
    assert (said.cell, said.signature, said.role, said.pitch) == (first.cell, first.signature, *first.label[:2])


RATE = """
import os, signal, sys
from pathlib import Path
from singlib import files
from singlib.listening import blind_test
from singlib.listening.blind_test import ListeningTest
from singlib.runs import records
blind_test.folder = lambda profile: Path(sys.argv[1]) / profile
left, blow = int(sys.argv[2]), sys.argv[3]
test = ListeningTest(blind_test.Session(records.load("smoke"), "anna"))
for number in range(left):
    test.field.value = str(1 + number % 6)
if blow == "while writing":
    files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    test.field.value = "1"
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("blow", ["between two", "while writing"])
def test_ten_ratings_and_a_crash_are_ten_ratings(smoke, tmp_path, blow):
    """The rating that is being written when the machine dies is asked for again; the others are kept."""
    killed = subprocess.run([sys.executable, "-c", RATE, tmp_path, "4", blow], env=os.environ)
    assert killed.returncode == -9
    session = Session(smoke, "anna")
    assert len(session.ratings()) == 4 and len(session.left(session.stimuli())) == len(session.stimuli()) - 4
    test = ListeningTest(session)
    assert test.now == session.stimuli()[4], "goes on where it was"
    for _ in range(6):
        test.field.value = "2"
    said = session.ratings()
    assert len(said) == 10 and not said.duplicated(["cell", "role", "pitch", "velocity"]).any()
    assert said.grade.tolist() == ["-", "-/o", "o", "o/+"] + ["-/o"] * 6


def test_two_windows_of_a_listener_lose_nothing(smoke):
    one, other = (ListeningTest(Session(smoke, "anna")) for _ in range(2))
    one.field.value = "1"
    other.field.value = "2"
    one.field.value = "3"
    assert sorted(Session(smoke, "anna").ratings().grade) == sorted(["-", "-/o", "o"])


def test_without_ratings_there_is_no_agreement_and_no_row_in_table_3(smoke):
    table = blind_test.agreement(smoke)
    assert table.index.tolist() == ["all"] and table.loc["all", "ratings"] == 0 and not table.loc["all", "reliable"]
    assert set(table3.table(smoke).index.get_level_values("grade")) == {"paper", "published", "corrected"}


def listen(smoke, name, grade_of):
    session = Session(smoke, name)
    for stimulus in session.stimuli():
        session.rate(stimulus, grade_of(stimulus), 1.0)


def honest(stimulus):
    return {REFERENCE: "++", ANCHOR: "-"}.get(stimulus.cell, "o" if "STFT" in stimulus.cell else "-/o")


def test_table_3_and_agreement_come_from_the_ratings(smoke):
    listen(smoke, "anna", honest)
    alone = blind_test.agreement(smoke)
    assert np.isnan(alone.loc["all", "Krippendorff's alpha"])
    listen(smoke, "ben", honest)
    table = blind_test.agreement(smoke)
    assert table.loc["all", "Krippendorff's alpha"] == pytest.approx(1)
    assert table.loc["anna", REFERENCE] == 5 and table.loc["anna", ANCHOR] == 0 and table.reliable.all()
    shown = table3.table(smoke)
    assert shown.loc[("keys", "published, listeners"), "STFT/ReLU"] == "o"
    assert shown.loc[("keys", "published, listeners"), "CQT/ReLU"] == "-/o"
    assert shown.loc[("keys", "corrected, listeners"), "CQT/ELU"] == "-/o"
    assert table3.taus(smoke).loc["published, listeners", "entries (STFT)"] == 3

    listen(smoke, "carl", lambda stimulus: "-" if stimulus.cell == REFERENCE else "++")
    table = blind_test.agreement(smoke)
    assert not table.loc["carl", "reliable"] and table.loc["anna", "reliable"]
    assert table.loc["all", "Krippendorff's alpha"] < 0.5
    assert table3.table(smoke).loc[("keys", "published, listeners"), "STFT/ReLU"] == "o", "who fails does not count"


def test_ratings_of_a_model_trained_anew_do_not_count(smoke, monkeypatch):
    listen(smoke, "anna", honest)
    monkeypatch.setattr(blind_test, "_signature", lambda records, cell: "another")
    said = blind_test.load(smoke)
    assert set(said.cell) == {REFERENCE, ANCHOR}


def test_bad_input_is_named(smoke, tmp_path):
    with pytest.raises(ValueError, match=r"listener '\.\./anna' cannot name a file"):
        Session(smoke, "../anna")
    session = Session(smoke, "anna")
    with pytest.raises(ValueError, match=r"unknown grade '\?'; choose one of -, -/o, o, o/\+, \+, \+\+"):
        session.rate(session.stimuli()[0], "?", 1.0)
    session.file.parent.mkdir(parents=True)
    pd.DataFrame({"grade": ["good"]}).to_csv(session.file)
    with pytest.raises(ValueError, match=r"anna\.csv holds no ratings: its columns are at, listener"):
        Session(smoke, "anna")


@pytest.mark.parametrize(
    "profile, sentence",
    [
        ("quick", "No model of profile quick is finished. Train some"),
        ("recorded", "fetch it with `make data SPLIT=test`"),  # if its notes of models had not their targets
    ],
)
def test_what_is_missing_for_a_test_is_said_in_its_place(profile, sentence, monkeypatch):
    monkeypatch.setattr(blind_test, "target_file", lambda profile, label: Path("none.flac"))
    shown = ListeningTest(Session(records.load(profile), "anna"))
    assert [type(child).__name__ for child in shown.children] == ["HTML"] and sentence in shown.where.value


def test_grades_survive_the_csv(smoke):
    """A "-" alone must not come back as a missing value or a number."""
    session = Session(smoke, "007")
    for stimulus, grade in zip(session.stimuli(), GRADES, strict=False):
        session.rate(stimulus, grade, 1.0)
    assert session.ratings().grade.tolist() == list(GRADES) and set(session.ratings().listener) == {"007"}
