"""JupyterLab as a researcher has it: a real server on loopback, driven in the machine's Chromium."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

from conftest import PROJECT


@contextmanager
def server(folder, root):
    """Serve copies of the notebooks from a folder, on a free port; give the address of JupyterLab and its token."""
    shutil.copytree(PROJECT / "notebooks", folder / "notebooks")
    token, log = secrets.token_hex(16), folder / "server.log"
    settings = ("--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root", f"--IdentityProvider.token={token}")
    quiet = ("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None")
    environment = os.environ | {"SINGLIB_ROOT": str(root), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    environment |= {"JUPYTER_DATA_DIR": str(folder / "share"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    command = [sys.executable, "-m", "jupyterlab", *settings, *quiet]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log), token
    finally:
        process.terminate()
        process.wait(30)


def _address(process, log):
    """Wait until the server says where it is."""
    for _ in range(300):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found:
            try:
                urllib.request.urlopen(found[0] + "api", timeout=5)
                return found[0]
            except OSError:
                pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


def run_all(page, address, token, notebook):
    """Open a notebook and run all its cells; return when the last one has ended."""
    page.goto(f"{address}lab/tree/notebooks/{notebook}?token={token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("#jp-mainmenu-run").get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(
        """() => {
            const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
            return cells.length > 1 && cells.every(cell => /\\[\\d+\\]/.test(cell.textContent));
        }""",
        timeout=120_000,
    )
