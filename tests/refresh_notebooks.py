"""Execute the notebooks at smoke size and keep the outputs that nbval compares.

Pictures, and the outputs of cells tagged ``nbval-ignore-output`` (sounds, timings), are left out: they
differ between machines, and the repository would grow with every refresh. A cell tagged ``picture``
keeps its own, for readers without Jupyter; nbval does not compare pictures. ``--check`` only says
which notebooks are not as a refresh would leave them (without executing them).
"""

import base64
import io
import os
import sys
from pathlib import Path

import nbformat
from PIL import Image

PROJECT = Path(__file__).parents[1]
NOTEBOOKS = PROJECT / "notebooks"
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")


def small(png):
    """Return a picture, base64, in 256 colours: a third of the size."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def passing(output):
    """Say whether an output is of one execution alone: a widget (to a reader a bar at 0 %), a warning, a path."""
    data = output.get("data", {})
    text = output.get("text", "") + str(data.get("text/plain", "")) + str(data.get("text/markdown", ""))
    widget = "application/vnd.jupyter.widget-view+json" in data
    return widget or output.get("name") == "stderr" or str(PROJECT) in text or "/home/" in text


def stripped(notebook):
    """Return the notebook as it is committed."""
    count = 0
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type != "code":
            continue
        if "nbval-ignore-output" in cell.metadata.get("tags", ()):
            cell.outputs = []
        count += 1  # as if run from the top: nbval takes a cell without a number for one that was not run
        cell.execution_count = count
        cell.outputs = [output for output in cell.outputs if not passing(output)]
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
            for picture in () if "picture" in cell.metadata.get("tags", ()) else PICTURES:
                output.get("data", {}).pop(picture, None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def check():
    """Return the names of notebooks that carry what they should not, or no outputs at all."""
    faults = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        committed = nbformat.writes(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        if nbformat.writes(stripped(notebook)) != committed or not any(cell.outputs for cell in code):
            faults.append(path.name)
    return faults


def main():
    """Refresh every notebook, or only check them."""
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{name}: run `make notebooks`" for name in check()) or 0)
    sys.path.insert(0, str(NOTEBOOKS.parent))
    import papermill

    from conftest import ROOT, make_root, run_singlib

    os.environ["SINGLIB_ROOT"] = str(make_root(ROOT))
    if run_singlib("run", "--profile", "smoke").wait():
        sys.exit("the smoke grid did not finish")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = stripped(papermill.execute_notebook(path, None, cwd=NOTEBOOKS, progress_bar=False))
        for data in [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]:
            if "image/png" in data:
                data["image/png"] = small(data["image/png"])
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
