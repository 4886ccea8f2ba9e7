"""The report page and the notebooks' players in a real browser: whole, quiet, and with nothing fetched."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from pypdf import PdfReader
from tap import TAP, recorded, tune

from conftest import PROJECT, call_singlib
from singlib.claims import VERDICTS, check
from singlib.grid import PROFILES, cells
from singlib.report import page, verdicts
from singlib.report.figures import STAMP
from singlib.runs import records

LOAD = """async () => Promise.all([...document.querySelectorAll('audio')].map(async (player) => {
    const context = new OfflineAudioContext(1, 16000, 16000);
    const bytes = await (await fetch(player.src)).arrayBuffer();
    return (await context.decodeAudioData(bytes)).duration;
}))"""

# Every player with its length, once the browser knows it; a sound that it cannot play has none.
LENGTHS = """async () => Promise.all([...document.querySelectorAll('audio')].map((player) => new Promise((tell) => {
    const told = () => tell({named: player.ariaLabel, controls: player.controls, seconds: player.duration || 0});
    if (player.readyState > 0 || player.error || !player.src) return told();
    player.onloadedmetadata = player.onerror = told;
})))"""
# Notebooks that play without a finished run, and how many players they have.
PLAYING = {"01-data": 8, "02-losses": 1, "05-quality": 18}


@pytest.fixture(scope="module")
def report(smoke_root):
    return page.report(PROFILES["smoke"])


def test_the_report_saves_every_part_stamped(report):
    out = report.parent
    for number in range(1, 23):
        assert (out / f"fig{number:02d}.png").stat().st_size > 5_000
        assert (out / f"fig{number:02d}.svg").read_text().startswith("<?xml")
    assert len(PdfReader(out / "figures.pdf").pages) == 22
    for number, rows in ((1, 7), (2, 8), (3, 21)):
        assert len(pd.read_csv(out / f"table{number}.csv")) == rows
        assert STAMP in (out / f"table{number}.md").read_text()
    assert (out / "table3.png").stat().st_size > 5_000 and (out / "table3.svg").read_text().startswith("<?xml")
    checked = pd.read_csv(out / "claims.csv", keep_default_na=False)
    assert len(checked) > 40 and set(checked.verdict) <= set(VERDICTS)
    assert STAMP in (out / "claims.md").read_text()


def test_a_report_leaves_the_working_directory_as_it_was(report, request):
    """Though its notebooks, executed at once, work in the project's folder."""
    assert Path.cwd() == request.config.invocation_params.dir


def pictures_of_questions(report):
    """Count the pictures in a report's 07-questions, of which there are more as experiments are trained."""
    notebook = nbformat.read(report.with_name("07-questions.ipynb"), 4)
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in data for data in outputs)


def test_the_questions_are_drawn_in_a_report(report):
    """A kernel of the grid shows no picture by itself."""
    assert pictures_of_questions(report) >= 3


def test_the_report_opens_by_double_click(browser, report):
    opened = browser.new_page()
    messages, requests = [], []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(report.as_uri())
    pictures = opened.evaluate(
        """() => [...document.images, ...document.querySelectorAll('.drawing > svg:first-of-type')].map(i => ({
            whole: i.complete ? i.naturalWidth > 300 : i.getBBox().width > 300, alt: i.alt ?? i.parentNode.ariaLabel,
        }))"""
    )
    others = 22 + 1 + 3  # the paper's figures, the grades of Table 3, the open question
    assert len(pictures) == others + pictures_of_questions(report)
    assert all(picture["whole"] for picture in pictures)
    assert all(len(picture["alt"]) > 30 and "No description" not in picture["alt"] for picture in pictures)
    seconds = opened.evaluate(LOAD)
    assert len(seconds) > 4 and all(abs(length - 4) < 0.01 for length in seconds)
    assert all(url.startswith("data:") for url in requests if url != report.as_uri()), "something is fetched"
    assert messages == []
    assert opened.title().startswith("Modifications to SING")
    opened.close()


def test_the_sentences_at_the_head_follow_the_claims():
    """Nothing on record; as published alone; MFC with its gradient too, and better than the STFT."""
    profile = PROFILES["recorded"]
    some = records.Records(profile, pd.DataFrame(), pd.DataFrame(), [cell.name for cell in cells(profile)])
    checked = check(some)
    empty = verdicts.summarise(checked, some).data
    assert empty.count("on record yet") == 3 and "0 of 155 models" in empty and profile.regime in empty
    found = {
        "published-autoencoder-constant": ("holds", 0.0, 52),
        "published-low": ("holds", 0.0, 52),
        "mfc-trains": ("holds", 59.5, 5),
        "mfc-sounds-better": ("holds", 0.43, 5),
        "elu-ends-lower-stft": ("undecided", 70.0, 10),
        "lstm-relu-ends-lower": ("does not hold", -8.0, 10),
    }
    checked = checked.set_index("key")
    for key, row in found.items():
        checked.loc[key, ["verdict", "size", "models", "holm"]] = *row, row[0]
    checked.loc["mfc-sounds-better", "holm"] = "undecided"
    full = verdicts.summarise(checked.reset_index(), some).data
    for phrase in (
        "MFC and CQT trained nothing**: their gradient was lost, and no loss of 52 models ever moved; the best of them",
        "the network trains on MFC: the loss itself ends 60 % below its value before training; nothing is on record",
        "SING sounds better on MFC (Holm: undecided): its mean grade (0 to 5) lies 0.4 above the STFT's; nothing is on",
        "lower with ELU in 7 of 10 pairs",
        "ReLU's loss ends the LSTM stage 8 % above ELU's",
    ):
        assert phrase in full, full


@pytest.fixture
def opened(browser, report):
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    tab.goto(report.as_uri())
    yield tab
    tab.close()


def test_every_link_in_the_page_leads_somewhere(opened, report):
    ids = opened.evaluate("() => [...document.querySelectorAll('[id]')].map(element => element.id)")
    links = opened.evaluate(
        """() => [...document.querySelectorAll('a[href^="#"]')].map(link => decodeURIComponent(link.hash.slice(1)))"""
    )
    assert set(links) <= set(ids)
    numbered = {f"figure-{number}" for number in range(1, 23)} | {f"table-{number}" for number in range(1, 4)}
    assert numbered <= set(links) and all(ids.count(name) == 1 for name in numbered)
    assert opened.locator("main a[href='play.html']").count() == 1 and (report.parent / "play.html").is_file()
    headings = opened.evaluate("() => [...document.querySelectorAll('main :is(h1, h2, h3)')].map(h => h.id)")
    assert set(headings) <= set(links) and len(headings) >= 8


def test_the_keyboard_plays_in_the_report_and_is_read_when_it_is_opened(browser, report):
    opened, requests = browser.new_page(viewport={"width": 1400, "height": 1000}), []
    opened.add_init_script(TAP)
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(report.as_uri())
    assert not any(url.endswith("play.html") for url in requests)
    opened.locator("nav a[href='#play']").click()
    opened.locator("#keyboard summary").click()
    inner = opened.frame_locator("#keyboard iframe")
    inner.get_by_label("alone").check()
    key = inner.locator(".key[data-pitch='57']")
    key.scroll_into_view_if_needed()
    key.click(delay=500, position={"x": 10, "y": 150})
    opened.wait_for_timeout(300)
    sound, presses, rate = recorded(opened.frames[1])
    assert abs(tune(sound[int((presses[-1] + 0.1) * rate) :][: int(0.3 * rate)], rate, 57)) < 10, "A3 is 220 Hz"
    opened.close()


def test_the_first_screen_shows_what_was_found(opened):
    """The sentences, the whole of Table 3 and of Figure 1; contents at the side."""
    for what in (".celltag_summary", ".celltag_beside table", ".celltag_opening svg >> visible=true"):
        box = opened.locator(what).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 1000, what
        assert box["x"] > opened.locator("nav").bounding_box()["width"] and box["x"] + box["width"] <= 1400, what
    assert "gradient restored" in opened.locator(".celltag_summary").inner_text()
    cut = "element => element.scrollWidth > element.clientWidth"
    assert not opened.locator(".celltag_beside table").evaluate(cut)
    opened.set_viewport_size({"width": 1200, "height": 1000})
    assert not opened.locator(".celltag_beside table").evaluate(cut)


def test_a_phone_has_the_contents_at_the_top_and_no_scrolling_sideways(opened):
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.reload()
    assert opened.evaluate("() => document.documentElement.scrollWidth") == 390
    nav, main = (opened.locator(name).bounding_box() for name in ("nav", "main"))
    assert nav["y"] + nav["height"] <= main["y"] and nav["height"] < 100


def test_a_phone_shows_the_panels_of_a_figure_one_below_the_other(opened):
    panels = opened.locator(".celltag_opening .panel")
    assert not panels.first.is_visible()
    opened.set_viewport_size({"width": 390, "height": 844})
    boxes = [panel.bounding_box() for panel in panels.all()]
    assert len(boxes) == 3, "as published, corrected, legend"
    for above, below in pairwise(boxes):
        assert below["y"] >= above["y"] + above["height"] and above["width"] <= 390
    assert boxes[0]["width"] > 300


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_is_dark_where_the_reader_likes_it_dark_and_pictures_stay_on_white(opened, scheme, dark):
    opened.emulate_media(color_scheme=scheme)
    colour = "selector => getComputedStyle(document.querySelector(selector))[{}]".format
    background, text = (
        sum(map(int, re.findall(r"\d+", opened.evaluate(colour(f"'{what}'"), "body"))))
        for what in ("backgroundColor", "color")
    )
    assert (background < 200 and text > 500) if dark else (background > 700 and text < 200)
    assert opened.evaluate(colour("'backgroundColor'"), ".output_png") == "rgb(255, 255, 255)"


def test_one_sound_plays_at_a_time(opened):
    paused = """async () => {
        const [one, other] = document.querySelectorAll('audio');
        one.muted = other.muted = true;
        await one.play();
        await other.play();
        return [one.paused, other.paused];
    }"""
    assert opened.evaluate(paused) == [True, False]


def test_the_report_prints_without_players_and_contents(browser, report):
    opened = browser.new_page()
    opened.goto(report.as_uri())
    opened.emulate_media(media="print")
    assert not opened.is_visible("nav") and not opened.is_visible("audio")
    assert opened.is_visible("main .drawing") and len(opened.pdf()) > 100_000
    opened.close()


def test_the_report_is_small_enough_to_send_and_shows_no_code(report, monkeypatch):
    text = report.read_text()
    assert report.stat().st_size < 30_000_000
    assert "in a new cell" not in text, "what speaks of the notebook"
    assert "figures.show(" not in text and "http://" not in text.replace("http://www.w3.org", "")
    monkeypatch.setattr(page, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"report\.html would have \d+ MB, more than 0"):
        page.write([report.with_suffix(".ipynb")], report)
    assert report.read_text() == text


def test_a_page_is_fresh_until_its_records_change(report, smoke_root):
    assert page.is_fresh(PROFILES["smoke"])
    told = call_singlib("report", "--profile", "smoke", "--if-stale")
    assert told.stdout == f"as its records are: {report}\n"


@pytest.mark.parametrize("profile", ["recorded", PROFILES["recorded"].beside])
@pytest.mark.parametrize(
    "file",
    [
        "runs/{}/another/done.json",
        "data/{}/cells/another/done.json",
        "data/{}/quality.parquet",
        "data/{}/models/another.safetensors",
        "data/ratings/{}/anna.csv",
        "data/questions/pitches.parquet",
    ],
)
def test_a_report_shows_what_its_fingerprint_is_of(tmp_path, monkeypatch, file, profile):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    before = page.fingerprint(PROFILES["recorded"])
    shown = tmp_path / file.format(profile)
    shown.parent.mkdir(parents=True)
    shown.write_text("{}")
    assert page.fingerprint(PROFILES["recorded"]) != before


@pytest.fixture(scope="module")
def played(smoke_root):
    """Execute the notebooks that play without a finished run, in one kernel: only what makes the players."""
    joined, playing = nbformat.v4.new_notebook(), {}
    for name in PLAYING:
        every = nbformat.read(PROJECT / "notebooks" / f"{name}.ipynb", 4).cells
        code = [cell for cell in every if cell.cell_type == "code"]
        playing[name] = [*code[:2], *(cell for cell in code[2:] if "players." in cell.source)]
        joined.cells += playing[name]
    NotebookClient(joined, resources={"metadata": {"path": PROJECT / "notebooks"}}).execute()
    return {name: nbformat.v4.new_notebook(cells=made) for name, made in playing.items()}


def test_every_player_of_every_notebook_plays(browser, played, report, tmp_path):
    """Executed and exported as a reader would; train.ipynb and the report's as the grid executes them."""
    runs = sorted(report.parents[2].glob("runs/smoke/*/train.ipynb"))
    pages = [report.with_name(f"{name}.ipynb") for name in page.REPORT if name != "07-questions"]  # which has no sounds
    read = {f"{file.parent.name}-{file.stem}": nbformat.read(file, 4) for file in (*runs, *pages)}
    expected = PLAYING | {f"{file.parent.name}-train": 2 for file in runs}
    assert len(runs) == 6 and len(pages) == 2
    opened = browser.new_page()
    for name, notebook in (played | read).items():
        file = tmp_path / f"{name}.html"
        file.write_text(HTMLExporter(template_name="basic").from_notebook_node(notebook)[0])
        opened.goto(file.as_uri())
        found = opened.evaluate(LENGTHS)
        assert len(found) == expected.get(name, len(found)) > 0, f"{name}: {len(found)} players"
        for player in found:
            assert player["controls"] and player["named"], f"{name}: {player}"
            assert player["seconds"] == pytest.approx(4, abs=0.01), f"{name}: {player}"
    opened.close()
