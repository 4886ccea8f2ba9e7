"""The notebooks to play and to listen with, in a real JupyterLab and a real browser."""

import base64
import io
import shutil

import lab
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
from tap import TAP, recorded

SOURCES = "() => [...document.querySelectorAll('.jp-OutputArea audio')].map(player => player.src)"
MODEL = "runs/smoke/keys-ReLU-STFT-flow-0"
SECONDS = """async (source) => {
    const context = new OfflineAudioContext(1, 16000, 16000);
    const bytes = await (await fetch(source)).arrayBuffer();
    return (await context.decodeAudioData(bytes)).duration;
}"""

# Two sounds side by side are 800 pixels wide, one alone is 440.
PICTURE = """() => {
    const image = document.querySelector(".jp-OutputArea img");
    return image && image.complete && image.naturalWidth > 600;
}"""


@pytest.fixture(scope="module")
def address(browser, smoke_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(smoke_root, folder / "root", symlinks=True)  # ratings must not reach the other tests
    with lab.server(folder, folder / "root") as found:
        listen = folder / "notebooks" / "04-listen.ipynb"  # of models that are finished here
        listen.write_text(listen.read_text().replace('profile = \\"recorded\\"', 'profile = \\"smoke\\"'))
        play = folder / "notebooks" / "03-play.ipynb"  # the first model at hand is the project's to choose
        play.write_text(play.read_text().replace('model = \\"\\"', 'model = \\"recorded/keys-ReLU-STFT-flow-0\\"'))
        yield *found, folder / "root"


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1400, "height": 2400})
    yield opened
    opened.close()


def after(page, act, at=0):
    """Do `act` and return the two players' sources once the one at `at` is new; between, there are none."""
    before = page.evaluate(SOURCES)
    act()
    page.wait_for_function(
        f"""([before, at]) => {{
        const now = ({SOURCES})();
        return now.length == 2 && !before.includes(now.at(at));
    }}""",
        arg=[before, at],
    )
    return page.evaluate(SOURCES)


def test_a_key_plays_the_note_that_was_asked_for(page, address):
    lab.run_all(page, *address[:2], "03-play.ipynb")
    page.wait_for_selector(".jp-OutputArea audio")
    sources = after(page, lambda: page.locator(".widget-dropdown select").first.select_option(label=MODEL), at=-1)
    for key in ("MIDI 56", "MIDI 66"):
        before = sources
        sources = after(page, page.get_by_role("button", name=key).click)
    assert len(set(sources) - set(before)) == 2, "the note itself, and the model's"
    for source in sources:
        assert page.evaluate(SECONDS, source) == pytest.approx(4, abs=0.01)
    page.wait_for_function(PICTURE)
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    for letter in "bddax":  # commands of JupyterLab's: insert a cell, delete one
        page.keyboard.press(letter)
    page.wait_for_timeout(300)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells, "a letter typed at the piano changed the notebook"
    note, rate = soundfile.read(io.BytesIO(base64.b64decode(sources[0].split(",")[1])))
    heard = np.median(librosa.yin(note, fmin=60, fmax=2000, sr=rate)[5:60])  # while it sounds
    assert rate == 16_000 and abs(1200 * np.log2(heard / 369.99)) < 50, f"F#4 was asked for, {heard:.0f} Hz is heard"


def test_keys_sound_in_the_browser_at_once_and_together(page, address):
    """By computer keys and by MIDI; their notes were generated ahead."""
    page.add_init_script(TAP)
    lab.run_all(page, *address[:2], "03-play.ipynb")
    page.get_by_role("button", name="MIDI 60,").click()
    page.get_by_role("button", name="Connect a MIDI keyboard").click()
    page.get_by_text("MIDI: A fake piano").wait_for()
    page.evaluate("ready")
    page.get_by_role("button", name="MIDI 60,").focus()
    page.wait_for_timeout(4000)  # the note that was clicked ends
    page.wait_for_function("() => decoded >= document.querySelectorAll('.key').length")  # those of the keys are there
    begun = len(page.evaluate("presses"))
    for letter in "zxcvq":
        page.keyboard.down(letter)
        page.wait_for_timeout(250)
        page.keyboard.up(letter)
        page.wait_for_timeout(350)
    sound, presses, rate = recorded(page)
    for letter, pressed in zip("zxcvq", presses[begun:], strict=True):
        note = sound[int(pressed * rate) :][: int(0.5 * rate)]
        late = np.argmax(np.abs(note) > 0.05 * np.abs(note).max()) / rate
        assert np.abs(note).max() > 1e-4 and late < 0.1, f"{letter} is heard after {1000 * late:.0f} ms"
    for letter in "zcq":
        page.keyboard.down(letter)
    page.evaluate("send(0x90, 72, 90)")
    assert page.locator(".key.down").count() == 4
    for letter in "zcq":
        page.keyboard.up(letter)
    page.evaluate("send(0x80, 72, 0)")
    assert page.locator(".key.down").count() == 0
    page.get_by_text("C5 (523.3 Hz), velocity 100").wait_for()  # the last key, at the nearest of the five velocities


def test_ten_ratings_by_keyboard_are_kept(page, address):
    lab.run_all(page, *address[:2], "04-listen.ipynb")
    field = page.get_by_placeholder("click here")
    for number in range(10):
        kept = page.get_by_text(f"Sound {number + 1} of", exact=False)
        kept.wait_for()
        field.click()
        field.press(str(number % 6 + 1))
    page.get_by_text("Done: 10 sounds").wait_for()
    ratings = pd.read_csv(address[2] / "data" / "ratings" / "smoke" / "me.csv", keep_default_na=False)
    assert list(ratings.grade) == ["-", "-/o", "o", "o/+", "+", "++", "-", "-/o", "o", "o/+"]
