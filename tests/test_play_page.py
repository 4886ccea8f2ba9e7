"""The page to play, in a real browser: what it hands to the loudspeaker is recorded and measured."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tap import TAP, partial, recorded, tune

from conftest import PROJECT
from singlib.grid import PROFILES, Cell
from singlib.network import generation
from singlib.nsynth import Label
from singlib.report import play
from singlib.runs import model_cards

LOWER, UPPER = ("zsxdcvgbhnjm", "q2w3er5t6y7ui9o0p")


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """Return the page of a root whose only model is of the voice, which plays in tune."""
    root, of = tmp_path_factory.mktemp("play"), "recorded-best"
    (root / "data" / of / "models").mkdir(parents=True)
    for part in (PROJECT / "data" / of).iterdir():
        if part.name != "models":
            (root / "data" / of / part.name).symlink_to(part)
    (model,) = (PROJECT / "data" / of / "models").glob("voice-*.safetensors")
    (root / "data" / of / "models" / model.name).symlink_to(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINGLIB_ROOT", str(root))
        play.save(PROFILES[of])
    return root / "figures" / of / "play.html"


@pytest.fixture
def tab(browser, voice):
    """Open the page with the recorder in it; it must fetch nothing and complain of nothing."""
    opened, wrong = browser.new_page(viewport={"width": 1400, "height": 900}), []
    opened.add_init_script(TAP)
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "request", lambda request: wrong.append(request.url) if not request.url.startswith(("data:", "blob:")) else 0
    )
    opened.goto(voice.as_uri())
    opened.wait_for_selector(".key")
    yield opened
    assert wrong == [voice.as_uri()]
    opened.close()


def wake(tab):
    """Touch the page, so that the browser lets it sound, and wait until the recorder runs and the notes are decoded."""
    tab.locator("h1").click()
    tab.locator("#midi").click()
    tab.evaluate("ready")
    tab.wait_for_function("() => context.currentTime > 0.2")
    tab.wait_for_timeout(500)


def test_twenty_keys_in_a_row_sound_at_once_and_at_their_pitch(tab):
    wake(tab)
    first = int(tab.locator(".key").first.get_attribute("data-pitch"))
    pitches, before = range(50, 70), len(tab.evaluate("presses"))
    for pitch in pitches:
        letter = (LOWER + UPPER)[pitch - first]
        tab.keyboard.down(letter)
        tab.wait_for_timeout(250)
        tab.keyboard.up(letter)
        tab.wait_for_timeout(350)
    sound, presses, rate = recorded(tab)
    presses = presses[before:]
    assert len(presses) == 20
    for pitch, pressed in zip(pitches, presses, strict=True):
        note = sound[int(pressed * rate) :][: int(0.5 * rate)]
        late = np.argmax(np.abs(note) > 0.05 * np.abs(note).max()) / rate
        assert late < 0.1, f"MIDI {pitch} is heard after {1000 * late:.0f} ms"
        off = tune(note[int((late + 0.03) * rate) :][: int(0.2 * rate)], rate, pitch)
        assert abs(off) < 50, f"MIDI {pitch} is {off:.0f} cents off"


def test_keys_held_together_sound_together(tab):
    wake(tab)
    chord = {
        int(tab.locator(".key").nth((LOWER + UPPER).index(letter)).get_attribute("data-pitch")): letter
        for letter in "cnq"
    }
    tab.keyboard.down("c")
    tab.wait_for_timeout(700)
    for letter in "nq":
        tab.keyboard.down(letter)
    tab.wait_for_timeout(700)
    assert tab.locator(".key.down").count() == 3
    for letter in "cnq":
        tab.keyboard.up(letter)
    tab.wait_for_timeout(900)
    assert tab.locator(".key.down").count() == 0
    sound, presses, rate = recorded(tab)
    one, all_three = (sound[int((time + 0.15) * rate) :][: int(0.5 * rate)] for time in (presses[-3], presses[-1]))
    for pitch, letter in chord.items():
        if letter != "c":
            assert partial(all_three, rate, pitch) > 5 * partial(one, rate, pitch), f"MIDI {pitch} is not heard"
    assert np.abs(sound[-int(0.1 * rate) :]).max() < 0.02 * np.abs(all_three).max(), "let go, it still sounds"


def test_a_midi_keyboard_plays_with_its_velocity_and_its_pedal(tab):
    wake(tab)
    assert "A fake piano" in tab.locator("#inputs").inner_text()
    tab.evaluate("send(0x90, 55, 30)")
    tab.wait_for_timeout(400)
    assert "G3" in tab.locator("#playing").inner_text() and tab.locator(".key.down[data-pitch='55']").count() == 1
    tab.evaluate("send(0xb0, 64, 127), send(0x80, 55, 0)")
    tab.wait_for_timeout(600)
    held = len(recorded(tab)[0])
    tab.evaluate("send(0xb0, 64, 0)")
    tab.wait_for_timeout(800)
    sound, presses, rate = recorded(tab)
    assert abs(tune(sound[int((presses[-4] + 0.1) * rate) :][: int(0.3 * rate)], rate, 55)) < 50
    assert np.abs(sound[held - int(0.1 * rate) : held]).max() > 20 * np.abs(sound[-int(0.1 * rate) :]).max()


def test_a_harder_strike_is_no_softer(tab):
    """A velocity sounds the note of the nearest level as it is: recorded levels differ little in loudness."""
    wake(tab)
    tab.evaluate("send(0x90, 57, 75), send(0x80, 57, 0)")
    level = int(re.search(r"velocity (\d+)", tab.locator("#playing").inner_text())[1])
    tab.wait_for_timeout(600)
    for velocity in (level - 10, level, level + 10):
        tab.evaluate(f"send(0x90, 57, {velocity})")
        tab.wait_for_timeout(400)
        tab.evaluate("send(0x80, 57, 0)")
        tab.wait_for_timeout(600)
    sound, presses, rate = recorded(tab)
    loud = []
    for pressed in presses[-6::2]:
        note = sound[int(pressed * rate) :][: int(0.6 * rate)]
        note = note[np.argmax(np.abs(note) > 0.01) :][: int(0.3 * rate)]
        loud.append(np.sqrt(np.mean(note**2)))
    assert loud == pytest.approx([loud[0]] * 3, rel=0.02)


def test_nothing_sounds_on_after_a_keyboard_was_unplugged(tab):
    wake(tab)
    tab.get_by_label("alone").check()  # a sine does not end by itself
    tab.evaluate("send(0xb0, 64, 127), send(0x90, 57, 90), send(0x90, 60, 90)")
    tab.wait_for_timeout(400)
    tab.evaluate("unplug()")
    tab.wait_for_timeout(900)
    sound, _, rate = recorded(tab)
    assert tab.locator(".key.down").count() == 0 and "No MIDI keyboard" in tab.locator("#inputs").inner_text()
    assert np.abs(sound[-int(0.1 * rate) :]).max() < 0.001 < 0.05 < np.abs(sound).max()


def test_a_click_without_a_pointer_plays_and_a_mouse_let_go_elsewhere_does_not(tab):
    wake(tab)
    tab.evaluate("document.querySelector('.key[data-pitch=\"57\"]').click()")
    assert tab.locator(".key.down").get_attribute("data-pitch") == "57"
    tab.wait_for_function("() => !document.querySelector('.key.down')")
    box = tab.locator(".key[data-pitch='57']").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 10)
    tab.mouse.down()
    assert tab.locator(".key.down").count() == 1
    tab.evaluate("dispatchEvent(new Event('blur'))")
    hover = (
        "new PointerEvent('pointermove', {pointerId: 1, pointerType: 'mouse', buttons: 0, clientX: %d, clientY: %d})"
    )
    tab.evaluate(f"dispatchEvent({hover % (box['x'] + 60, box['y'] + box['height'] - 10)})")
    assert tab.locator(".key.down").count() == 0
    tab.mouse.up()


def test_mouse_touch_and_focus_play_and_the_sine_is_the_pitch(tab):
    wake(tab)
    tab.get_by_label("alone").check()
    key = tab.locator(".key[data-pitch='57']")
    box = key.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 10)
    tab.mouse.down()
    tab.wait_for_timeout(500)
    sliding = tab.locator(".key[data-pitch='59']").bounding_box()
    tab.mouse.move(sliding["x"] + sliding["width"] / 2, sliding["y"] + sliding["height"] - 10)
    assert tab.locator(".key.down").get_attribute("data-pitch") == "59"
    black = tab.locator(".key[data-pitch='58']").bounding_box()
    tab.mouse.move(black["x"] + 3, black["y"] + 20)  # the key that has the focus, and the mouse's, lies below
    assert tab.locator(".key.down").get_attribute("data-pitch") == "58"
    tab.mouse.up()
    assert tab.locator(".key.down").count() == 0
    sound, presses, rate = recorded(tab)
    assert abs(tune(sound[int((presses[-1] + 0.1) * rate) :][: int(0.35 * rate)], rate, 57)) < 3, "A3 is 220 Hz"
    tab.keyboard.press("ArrowRight")
    tab.keyboard.down("Space")
    assert tab.locator(".key.down").get_attribute("data-pitch") == "58"
    tab.keyboard.up("Space")
    assert tab.locator(".key[tabindex='0']").count() == 1 and tab.locator(".key:focus").count() == 1
    labels = tab.locator(".key").evaluate_all("keys => keys.map(key => key.ariaLabel)")
    assert "A3, MIDI 57, 220.0 Hz" in " ".join(labels) and all(labels)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_and_has_one_key_beside_the_other(tab, width):
    tab.set_viewport_size({"width": width, "height": 844})
    tab.wait_for_function(f"() => document.querySelectorAll('.key').length === {13 if width == 390 else 49}")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    whites = [key.bounding_box() for key in tab.locator(".key.white").all()]
    assert all(box["width"] >= 24 and box["x"] + box["width"] <= width for box in whites)
    assert whites[0]["y"] + whites[0]["height"] <= 844, "on the first screen"


def test_choices_lead_to_a_model_that_is_at_hand(smoke_root, browser):
    """Runs of this machine, as no model of the profile comes with the project."""
    file = play.save(PROFILES["smoke"])
    opened = browser.new_page()
    opened.goto(file.as_uri())
    assert "demonstration, not evidence" in opened.locator("main").inner_text()
    model = opened.locator("#about")
    assert model.inner_text().startswith("runs/smoke/keys-ReLU-STFT-flow-0. Grade")
    for choice, name in (
        ("CQT, as published", "keys-ReLU-CQT-cut-0"),
        ("ELU", "keys-ELU-CQT-flow-0"),
        ("STFT", "keys-ELU-STFT-flow-0"),
        ("MFC, as published", "keys-ReLU-MFC-cut-0"),
        ("brass1", "brass1-ReLU-STFT-flow-0"),
    ):
        opened.get_by_label(choice, exact=True).check()
        assert name in model.inner_text(), choice
    assert opened.get_by_label("ELU", exact=True).is_disabled()
    opened.close()


def test_notes_are_thinned_where_a_page_would_be_too_large():
    notes = {(pitch, velocity) for pitch in (60, 61, 64) for velocity in (25, 75, 127)}
    assert play.thinned(notes, 0) == sorted(notes)
    assert play.thinned(notes, 1) == [(60, 75), (61, 75), (64, 75)]
    assert play.thinned(notes, 3) == [(60, 75), (64, 75)]
    wide = {"keys": {(pitch, velocity) for pitch in range(128) for velocity in (25, 100)}}
    first, *others = (
        Cell("keys", activation, loss) for loss in ("STFT", "MFC", "CQT") for activation in ("ReLU", "ELU")
    )
    chosen = play.chosen(dict.fromkeys((first, *others), wide), {others[0]})
    assert [len(chosen[cell]) for cell in (first, others[0])] == [128, 256]
    everything = {
        Cell(name, *kind): wide
        for name in ("keys", "mallet", "voice", "brass1")
        for kind in [(a, x) for a in ("ReLU", "ELU") for x in ("STFT", "MFC", "CQT")]
    }
    fewer = play.chosen(everything, {Cell("mallet")})
    assert play.NOTE * sum(map(len, fewer.values())) <= play.LIMIT and len(fewer[Cell("mallet")]) == 256


def test_the_best_model_of_a_set_is_the_best_graded(monkeypatch):
    names = {cell: cell.name for cell in (Cell("keys"), Cell("keys", "ELU"), Cell("mallet", "ELU"), Cell("mallet"))}
    grades = {"keys-ReLU-STFT-flow-0": ["o", "-"], "keys-ELU-STFT-flow-0": ["o", "o"]}  # nothing is known of mallet
    monkeypatch.setattr(generation, "find", Path)
    monkeypatch.setattr(model_cards, "graded_notes", lambda file: pd.DataFrame({"grade": grades.get(file.name, [])}))
    assert play.best_of_sets(names) == {Cell("keys", "ELU"), Cell("mallet", "ELU")}


def test_a_profile_without_models_says_which_has_some(monkeypatch, tmp_path):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match="no model of profile recorded is at hand to play"):
        play.save(PROFILES["recorded"])


def inside(file):
    """Return the models in a page: what is said of each, and its notes by instrument, pitch and velocity."""
    texts = re.findall(r'<script type="application/json" class="(?:about|notes)">(.*?)</script>', file.read_text())
    return list(zip(map(json.loads, texts[::2]), map(json.loads, texts[1::2]), strict=True))


@pytest.mark.parametrize(("name", "largest"), [("recorded", 6_000_000), ("recorded-best", play.LIMIT)])
def test_a_committed_page_holds_what_its_models_play(name, largest):
    file, profile = PROJECT / "figures" / name / "play.html", PROFILES[name]
    names = play.models(profile)
    models = {cell: generation.load_model(name) for cell, name in names.items()}
    best = play.best_of_sets(names)
    chosen = play.chosen({cell: model.notes for cell, model in models.items()}, best)
    found = inside(file)
    assert all(play._shared(name) in file.read_text() for name in ("keyboard.js", "keyboard.css")), "old"
    assert [about["name"] for about, _ in found] == list(names.values()) and file.stat().st_size < largest
    for (about, notes), (cell, labels) in zip(found, chosen.items(), strict=True):
        held = {Label(role, int(p), int(v)) for role, ps in notes.items() for p, vs in ps.items() for v in vs}
        assert held == set(labels)
        assert about["graded"] == play.graded(generation.find(names[cell])) and about["best"] == (cell in best)
        some = labels[:: len(labels) // 2]
        for label, waveform in zip(some, models[cell].generate(some), strict=True):
            sound = base64.b64decode(notes[label.role][str(label.pitch)][str(label.velocity)])
            sound, rate = soundfile.read(io.BytesIO(sound))
            alike = np.corrcoef(sound[:64_000], waveform)[0, 1]
            assert rate == 16_000 and alike > 0.6, f"{about['name']}, {label}: {alike}"  # noise keeps less than a note


def test_notes_that_a_page_has_are_not_made_again(smoke_root, monkeypatch):
    before = play.save(PROFILES["smoke"]).read_bytes()
    monkeypatch.setattr(play, "encode", lambda model, labels: pytest.fail("a model that the page has was played again"))
    assert play.save(PROFILES["smoke"]).read_bytes() == before
    monkeypatch.setattr(play, "made_of", lambda weights, labels: "others")
    monkeypatch.setattr(play, "encode", lambda model, labels: "{}")
    assert [notes for _, notes in inside(play.save(PROFILES["smoke"]))] == [{}] * len(play.models(PROFILES["smoke"]))


def test_the_same_sound_is_the_same_bytes():
    sound = np.sin(np.arange(16_000) / 5)
    assert play.opus(sound) == play.opus(sound)
