"""The report page in a real browser: whole, quiet, and with nothing fetched from elsewhere."""

import pandas as pd
import pytest
from pypdf import PdfReader

from singlib import page
from singlib.claims import VERDICTS
from singlib.figures import STAMP

LOAD = """async () => Promise.all([...document.querySelectorAll('audio')].map(async (player) => {
    const context = new OfflineAudioContext(1, 16000, 16000);
    const bytes = await (await fetch(player.src)).arrayBuffer();
    return (await context.decodeAudioData(bytes)).duration;
}))"""


@pytest.fixture(scope="module")
def report(smoke_root):
    from singlib.batch import report
    from singlib.grid import PROFILES

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
