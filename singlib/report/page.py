"""The report as one page: a self-contained HTML file that opens by double click, without a network.

Pictures and sounds are inside. The page has a table of contents, alternative text, and prints well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from string import Template

from ..files import check_writable, project_folder, write_text
from ..grid import Profile, check_choice
from ..runs.notebooks import execute
from ..runs.records import Records
from . import figures, tables, verdicts

REPORT = ("report", "06-open-question")  # notebooks, in the order of the page

LIMIT = 30_000_000  # bytes that a page may have, to be sent by mail

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 68rem; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; margin-top: 2em; }
nav { border: 1px solid #ccc; padding: 0.5rem 1.5rem; }
nav li.h3 { margin-left: 1.5rem; }
a { color: #0072B2; }
img { display: block; max-width: 100%; height: auto; margin: 1rem auto 0; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.85rem; display: block; overflow-x: auto; }
th, td { border: 1px solid #ddd; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
th { background: #f3f3f3; }
audio { height: 2rem; }
pre { white-space: pre-wrap; }
@media print {
  body { max-width: none; font-size: 10pt; }
  nav, audio { display: none; }
  h2 { break-before: page; }
  h2, h3 { break-after: avoid; }
  img, tr { break-inside: avoid; }
  table { display: table; }
}
</style>
</head>
<body>
<nav aria-label="Contents"><strong>Contents</strong><ul>$contents</ul></nav>
<main>$main</main>
</body>
</html>
""")


def write(notebooks: list[Path], page: Path) -> Path:
    """Write executed notebooks, without their code, as one page.

    Parameters
    ----------
    notebooks : list of Path
        In the order of the page; the first heading of the first is its title.
    page : Path
        The HTML file to write.

    Returns
    -------
    Path
        `page`.

    Raises
    ------
    ValueError
        If the page would have more than 30 MB.
    """
    import nbformat  # seconds to import, and every command imports this module
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True, embed_images=True)
    bodies = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:  # warnings and progress bars are for the notebook
            cell.outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        bodies.append(exporter.from_notebook_node(notebook)[0])
    main = BeautifulSoup("".join(bodies), "html.parser")
    for link in main.select("a.anchor-link"):
        link.decompose()
    contents = []
    for number, heading in enumerate(main.select("h1, h2, h3")):
        heading["id"] = f"section-{number}"
        contents.append(f'<li class="{heading.name}"><a href="#section-{number}">{heading.get_text()}</a></li>')
    title = main.select_one("h1, h2, h3")
    text = _PAGE.substitute(title=title.get_text() if title else "", contents="".join(contents), main=str(main))
    if len(text.encode()) > LIMIT:
        raise ValueError(f"{page} would have {len(text.encode()) / 1e6:.0f} MB, more than {LIMIT / 1e6:.0f}")
    write_text(page, text)
    return page


def report(profile: Profile) -> Path:
    """Execute the report's notebooks into ``figures/<profile>/`` and join them to a page; return the page's path.

    Raises
    ------
    NotebookError
        If one stops, for example because the profile's notes are missing.
    PermissionError
        If nothing may be written there.
    ValueError
        If the page would be too large to send.
    """
    folder = project_folder() / "figures" / profile.name
    check_writable(folder)
    check_writable(folder.parent / ".notebooks")
    notebooks = [folder / f"{name}.ipynb" for name in REPORT]
    for notebook in notebooks:
        execute(project_folder(), notebook.stem, notebook, {"profile": profile.name})
    return write(notebooks, folder / "report.html")


PARTS: dict[str, Callable[[Records], object]] = {
    **{f"fig{number:02d}": partial(figures.save, number) for number in figures.FIGURES},
    **{f"table{number}": partial(tables.save, number) for number in tables.CAPTIONS},
    "claims": verdicts.save,
}


def save_parts(names: list[str], records: Records) -> None:
    """Save some parts of the report under ``figures/<profile>/``.

    Raises
    ------
    ValueError
        If a name is none of `PARTS`; nothing is saved then.
    """
    for name in names:
        check_choice("part", name, PARTS)
    for name in names:
        PARTS[name](records)
