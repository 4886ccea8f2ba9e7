"""The tests work in a root of their own, so that they neither use nor touch a user's records."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")  # tests run side by side: each process has a root of its own
ROOT = PROJECT / "build" / "test" / WORKER


def make_root(folder: Path) -> Path:
    """Make a folder that singlib can take for its root, with the project's data and notebooks."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    for carried in ("mini", "recorded", "recorded-many-updates", "recorded-long"):
        (folder / "data" / carried).symlink_to(PROJECT / "data" / carried)
    (folder / "notebooks").symlink_to(PROJECT / "notebooks")
    return folder


def pytest_configure(config):
    """Choose the root before singlib is imported; kernels inherit it, and a core each when tests run side by side."""
    os.environ["SINGLIB_ROOT"] = str(ROOT)
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


@cache
def _train_smoke_grid():
    return run_singlib("run", "--profile", "smoke").wait()


@pytest.fixture(scope="session")
def smoke_root():
    """Return a root with the finished smoke grid."""
    assert _train_smoke_grid() == 0, "the smoke grid did not finish"
    return ROOT


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
