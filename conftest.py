"""The tests work in a root of their own, so that they neither use nor touch a user's records."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

PROJECT = Path(__file__).parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")  # tests run side by side: each process has a root of its own
ROOT = PROJECT / "build" / "test" / WORKER


def make_root(folder: Path) -> Path:
    """Make a folder that singlib can take for its root, with the project's data and notebooks."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    for carried in (
        "mini",
        "recorded",
        "recorded-best",
        "questions",
        "songs",
    ):
        (folder / "data" / carried).symlink_to(PROJECT / "data" / carried)
    (folder / "notebooks").symlink_to(PROJECT / "notebooks")
    return folder


def pytest_configure(config):
    """Choose the root before singlib is imported; kernels inherit it, and a core each when tests run side by side."""
    os.environ["SINGLIB_ROOT"] = str(ROOT)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # numbers are compared to the bit, and those of a GPU are others
    if WORKER != "main":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    make_root(ROOT)


def pytest_collectstart(collector):
    """Have nbval compare no vector pictures either: committed notebooks are without them."""
    if collector.name.endswith(".ipynb"):
        collector.skip_compare += ("image/svg+xml",)


def run_singlib(*arguments, root=ROOT, **options):
    """Start the command line in a root; return the process."""
    environment = os.environ | {"SINGLIB_ROOT": str(root)}
    return subprocess.Popen([sys.executable, "-m", "singlib", *arguments], env=environment, **options)


def call_singlib(*arguments, root=ROOT):
    """Run the command line in this process, which has imported what it needs; return it as `subprocess.run` does."""
    from singlib.__main__ import app  # only now: the root is chosen

    said, errors = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, SINGLIB_ROOT=str(root)), redirect_stdout(said), redirect_stderr(errors):
        try:
            app(arguments)
        except SystemExit as end:
            code = end.code or 0
            if isinstance(code, str):  # as Python does
                print(code, file=errors)
                code = 1
    return subprocess.CompletedProcess(arguments, code, said.getvalue(), errors.getvalue())


@cache
def _train_smoke_grid():
    """Train the smoke grid once for all processes of a test run; each has a copy of its runs."""
    from singlib.files import locked  # only now: the root is chosen

    shared, session = ROOT.parent / "smoke", os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    said = shared / "trained-by.json"
    with locked(ROOT.parent / "smoke.lock", "another process trains the smoke grid, waiting"):
        if not said.exists() or json.loads(said.read_text())["session"] != session:
            make_root(shared)
            ended = run_singlib("run", "--profile", "smoke", root=shared).wait()
            said.write_text(json.dumps({"session": session, "ended": ended}))
    if (shared / "runs").is_dir():
        shutil.copytree(shared / "runs", ROOT / "runs", dirs_exist_ok=True)
    return json.loads(said.read_text())["ended"]


@pytest.fixture(scope="session")
def smoke_root():
    """Return a root with the finished smoke grid."""
    assert _train_smoke_grid() == 0, "the smoke grid did not finish"
    return ROOT


# Files whose tests take longest, the longest first: with these begun first, no process is left with one at the end.
LONG = ("test_cluster.py", "test_lab.py", "report.ipynb", "test_readme.py", "test_path.py", "test_page.py")


def pytest_collection_modifyitems(items):
    """Order the files; their tests stay in order."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def browser():
    """Start the machine's Chromium; where SINGLIB_BROWSER says "required", its absence is a failure."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        if os.environ.get("SINGLIB_BROWSER") == "required":
            pytest.fail(f"no browser: none of {', '.join(names)} is on the path")
        pytest.skip("no Chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        running = playwright.chromium.launch(executable_path=found, args=quiet)
        yield running
        running.close()


def pytest_runtest_setup(item):
    """Give the notebooks that read finished records theirs."""
    if item.path.name == "03-play.ipynb":
        _train_smoke_grid()
