"""The report page and the notebooks' players in a real browser: whole, quiet, and with nothing fetched."""

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from pypdf import PdfReader

from conftest import PROJECT
from singlib.claims import VERDICTS
from singlib.report import page
from singlib.report.figures import STAMP

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
    from singlib.grid import PROFILES
    from singlib.runs.cluster import report

    return report(PROFILES["smoke"])


def test_the_report_saves_every_part_stamped(report):
    out = report.parent
    for number in range(1, 23):
        assert (out / f"fig{number:02d}.png").stat().st_size > 5_000
        assert (out / f"fig{number:02d}.svg").read_text().startswith("<?xml")
    assert len(PdfReader(out / "figures.pdf").pages) == 22
    for number, rows in ((1, 7), (2, 8), (3, 21)):
        assert len(pd.read_csv(out / f"table{number}.csv")) == rows
        assert STAMP in (out / f"table{number}.md").read_text()
    checked = pd.read_csv(out / "claims.csv", keep_default_na=False)
    assert len(checked) > 40 and set(checked.verdict) <= set(VERDICTS)
    assert STAMP in (out / "claims.md").read_text()


def test_the_report_opens_by_double_click(browser, report):
    opened = browser.new_page()
    messages, requests = [], []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(report.as_uri())
    pictures = opened.evaluate(
        "() => [...document.images].map(i => ({whole: i.complete && i.naturalWidth > 300, alt: i.alt, src: i.src}))"
    )
    assert len(pictures) == 25, "22 figures and three of the open question"
    assert all(picture["whole"] for picture in pictures)
    assert all(len(picture["alt"]) > 30 and "No description" not in picture["alt"] for picture in pictures)
    seconds = opened.evaluate(LOAD)
    assert len(seconds) > 4 and all(abs(length - 4) < 0.01 for length in seconds)
    assert all(url.startswith("data:") for url in requests if url != report.as_uri()), "something is fetched"
    assert messages == []
    # every entry of the contents leads to a heading, and every heading has one
    lead = opened.evaluate(
        "() => [...document.querySelectorAll('nav a')].map(a => document.querySelector(a.hash)?.tagName)"
    )
    headings = opened.evaluate("() => document.querySelectorAll('main h1, main h2, main h3').length")
    assert None not in lead and len(lead) == headings >= 8
    assert opened.title().startswith("Modifications to SING")
    opened.close()


def test_the_report_prints_without_players_and_contents(browser, report):
    opened = browser.new_page()
    opened.goto(report.as_uri())
    opened.emulate_media(media="print")
    assert not opened.is_visible("nav") and not opened.is_visible("audio")
    assert opened.is_visible("main img") and len(opened.pdf()) > 100_000
    opened.close()


def test_the_report_is_small_enough_to_send_and_shows_no_code(report, monkeypatch):
    text = report.read_text()
    assert report.stat().st_size < 30_000_000
    assert "figures.show(" not in text and "http://" not in text.replace("http://www.w3.org", "")
    monkeypatch.setattr(page, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"report\.html would have \d+ MB, more than 0"):
        page.write([report.with_suffix(".ipynb")], report)
    assert report.read_text() == text


@pytest.fixture(scope="module")
def played(smoke_root):
    """Execute the notebooks that play without a finished run, in one kernel: only what makes the players."""
    joined, cells = nbformat.v4.new_notebook(), {}
    for name in PLAYING:
        every = nbformat.read(PROJECT / "notebooks" / f"{name}.ipynb", 4).cells
        code = [cell for cell in every if cell.cell_type == "code"]
        cells[name] = [*code[:2], *(cell for cell in code[2:] if "players." in cell.source)]
        joined.cells += cells[name]
    NotebookClient(joined, resources={"metadata": {"path": PROJECT / "notebooks"}}).execute()
    return {name: nbformat.v4.new_notebook(cells=made) for name, made in cells.items()}


def test_every_player_of_every_notebook_plays(browser, played, report, tmp_path):
    """Executed and exported as a reader would; train.ipynb and the report's as the grid executes them."""
    runs = sorted(report.parents[2].glob("runs/smoke/*/train.ipynb"))
    read = {
        f"{file.parent.name}-{file.stem}": nbformat.read(file, 4) for file in (*runs, *report.parent.glob("*.ipynb"))
    }
    expected = PLAYING | {f"{file.parent.name}-train": 2 for file in runs}
    assert len(runs) == 6 and {"smoke-report", "smoke-06-open-question"} < set(read)
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
