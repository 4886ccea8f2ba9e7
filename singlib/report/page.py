"""The report as one page: a self-contained HTML file that opens by double click, without a network.

`page.html.j2` is its template: contents at the side (at the top on a phone), pictures and sounds inside.
"""

import hashlib
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .. import nsynth
from ..files import check_writable, project_folder, write_text
from ..grid import Profile, check_choice
from ..nsynth import audio
from ..runs.carried import fresh_cells
from ..runs.notebooks import execute, template
from ..runs.records import Records
from ..runs.run_folder import GRADING, RECIPE
from . import figures, play, tables, verdicts

REPORT = ("report", "06-open-question", "07-questions")  # notebooks, in the order of the page
LIMIT = 30_000_000  # bytes that a page may have, to be sent by mail
MADE_OF = re.compile(r'<html [^>]*data-records="(\w+)"')
HEADING = re.compile(r'<h([1-3]) id="([^"]+)">(.*?)<a class="anchor-link"')  # as nbconvert writes it: level, id, text


def anchors(main: str) -> list[tuple[str, list[str]]]:
    """Return the ids of the figures and those of the tables, by number."""
    ids = sorted(re.findall(r'<a id="((?:figure|table)-\d+)"', main), key=lambda name: int(name.split("-")[1]))
    return [(kind, [name for name in ids if name.startswith(kind)]) for kind in ("figure", "table")]


def write(notebooks: list[Path], page: Path, made_of: str = "", playing: bool = False) -> Path:
    """Write executed notebooks, without their code, as one HTML file, and return its path.

    The page keeps `made_of`, the `fingerprint` of its records; `playing` has it open the ``play.html`` beside it.
    Cells tagged "notebook-only", which speak of the notebook, are left out.

    The first notebook's first heading is the title. ValueError if the page would have more than 30 MB.
    """
    import nbformat  # seconds to import, and every command imports this module
    from nbconvert import HTMLExporter

    cells = [cell for path in notebooks for cell in nbformat.read(path, as_version=4).cells]
    cells = [cell for cell in cells if "notebook-only" not in cell.metadata.get("tags", ())]
    title = cells[0].source.splitlines()[0].lstrip("# ")
    exporter = HTMLExporter(
        template_file=str(Path(__file__).with_name("page.html.j2")),
        filters={"headings": HEADING.findall, "anchors": anchors},
        exclude_input=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    about = {"title": title, "records": made_of, "playing": playing}
    text, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells, metadata=about))
    if len(text.encode()) > LIMIT:
        raise ValueError(f"{page} would have {len(text.encode()) / 1e6:.0f} MB, more than {LIMIT / 1e6:.0f}")
    write_text(page, text)
    return page


def fingerprint(profile: Profile) -> str:
    """Return a digest of what a report shows: records, models, those of the regime beside it, experiments, and grades.

    Of runs the markers are read, which have the digests of their files.
    """
    digest = hashlib.sha256(f"{RECIPE} {GRADING}".encode())
    patterns = (
        "runs/{}/*/done.json",
        "data/{}/cells/*/*.json",
        "data/{}/*.parquet",
        "data/{}/models/*.safetensors",
        "data/ratings/{}/*.csv",
    )
    names = filter(None, (profile.name, profile.beside))
    for pattern in ("data/questions/*.parquet", *(each.format(name) for name in names for each in patterns)):
        for file in sorted(project_folder().glob(pattern)):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def page_of(profile: Profile) -> Path:
    """Return the path of a profile's page, whether it is there or not."""
    return project_folder() / "figures" / profile.name / "report.html"


def is_fresh(profile: Profile) -> bool:
    """Say whether a profile's page is there, and of the records at hand."""
    page = page_of(profile)
    found = MADE_OF.search(page.read_text(encoding="utf-8")) if page.is_file() else None
    return bool(found) and found[1] == fingerprint(profile)


def report(profile: Profile) -> Path:
    """Execute the report's notebooks into ``figures/<profile>/`` and join them to a page; return the page's path.

    If models are at hand, the page to play them (`singlib.report.play`) is written beside it. FileNotFoundError outside
    a clone, or if there are neither records of the profile nor its notes; NotebookError if a notebook stops,
    PermissionError if nothing may be written there, ValueError as `write` and `play.save`.
    """
    page, root = page_of(profile), project_folder()
    for name in REPORT:
        template(root, name)  # missing outside a clone
    if not (nsynth.at_hand(profile.data) or [*root.glob(f"runs/{profile.name}/*/done.json")] or fresh_cells(profile)):
        nsynth.index(profile.data)  # raises: before a kernel is started, which would end with the same words
    check_writable(page.parent)
    check_writable(page.parents[1] / ".notebooks")
    made_of = fingerprint(profile)  # before: records that come in meanwhile make the page stale
    if nsynth.at_hand(profile.data):  # decoded here once: of two notebooks one would wait, and say so in the report
        audio.digests(root / "data" / profile.data, list(nsynth.index(profile.data).values()))
    notebooks = [page.with_name(f"{name}.ipynb") for name in REPORT]
    at_once = ThreadPoolExecutor(len(REPORT) + 1)  # each notebook computes in a kernel of its own
    playing = at_once.submit(_save_play_page, profile)
    executed = [at_once.submit(execute, root, path.stem, path, {"profile": profile.name}) for path in notebooks]
    try:
        for each in executed:
            each.result()
        return write(notebooks, page, made_of, playing.result())
    finally:
        interrupted = isinstance(sys.exception(), KeyboardInterrupt)
        at_once.shutdown(wait=not interrupted, cancel_futures=interrupted)


def _save_play_page(profile: Profile) -> bool:
    """Write the page to play if a model is at hand; return whether one is."""
    at_hand = bool(play.models(profile))
    if at_hand:
        play.save(profile)
    return at_hand


PARTS: dict[str, Callable[[Records], object]] = {
    **{f"fig{number:02d}": partial(figures.save, number) for number in figures.FIGURES},
    **{f"table{number}": partial(tables.save, number) for number in tables.CAPTIONS},
    "claims": verdicts.save,
    "play": lambda records: play.save(records.profile),
}


def save_parts(names: list[str], records: Records) -> None:
    """Save some parts of the report under ``figures/<profile>/``; none, but a ValueError, if one is not of `PARTS`."""
    for name in names:
        check_choice("part", name, PARTS)
    for name in names:
        PARTS[name](records)
