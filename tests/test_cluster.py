"""The grid on a cluster of real processes: killed workers, kernels, schedulers and runners lose nothing."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest

from conftest import make_root, run_singlib
from singlib.files import locked
from singlib.grid import PROFILES, cells
from singlib.runs import cluster, run_folder, status

COMPARED = ("history.csv", "quality.csv", "sing.safetensors")
BIN = Path(sys.executable).parent
KEYS = [cell.name for cell in cells("smoke") if cell.name.startswith("keys-ReLU")]
PAIR, PAIR_PATTERN = KEYS[1:], "keys-ReLU-*-cut-0"
ALL = [cell.name for cell in cells("smoke")]


def wait_for(condition, seconds=300, process=None):
    """Wait until something is so; return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, "the runner ended early"
        time.sleep(0.05)
    return found


def kernels(of=None):
    """Return the kernels that run below a process (this one, if none is given)."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(of).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "singlib.runs.warm" in child.cmdline() and child.parent().cmdline() == child.cmdline():
                    found.append(child)
    return found


def training(root):
    """Return the cells that have a checkpoint: in the middle of their training."""
    return [file.parent.name for file in (root / "runs" / "smoke").glob("*/checkpoint.safetensors")]


def assert_undisturbed(root, reference, names):
    for name in names:
        ours, theirs = (folder / "runs" / "smoke" / name for folder in (root, reference))
        assert sorted(file.name for file in ours.rglob("*")) == sorted(file.name for file in theirs.rglob("*"))
        for file in COMPARED:
            assert (ours / file).read_bytes() == (theirs / file).read_bytes(), f"{name}/{file}"


@contextmanager
def process(command, folder):
    """Run a command in a folder of its own; it and all below it end with the block."""
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "SINGLIB_ROOT"}
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield started
    finally:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(started.pid).children(recursive=True):
                child.kill()
        started.kill()
        started.wait()


def scheduler(folder, port=0):
    return process([BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], folder)


def worker(folder, address, threads=1):
    return process([BIN / "dask", "worker", address, "--nthreads", str(threads), "--no-dashboard"], folder)


def address_of(folder):
    pattern = r"Scheduler at:\s+(tcp://\S+)"
    return wait_for(lambda: re.search(pattern, (folder / "log").read_text()))[1]


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path / "root")


def test_a_killed_scheduler_is_told_and_the_next_run_outlives_a_worker(root, smoke_root, tmp_path):
    command = ("run", "--profile", "smoke", "--cells", PAIR_PATTERN, "--scheduler")
    with scheduler(tmp_path / "scheduler") as head:
        address = address_of(tmp_path / "scheduler")
        with worker(tmp_path / "one", address):
            runner = run_singlib(*command, address, root=root, stderr=-1, text=True)
            wait_for(lambda: training(root), process=runner)
            head.kill()
            _, printed = runner.communicate(timeout=120)
            assert runner.returncode == 1 and "Traceback" not in printed and "the scheduler" in printed
    with scheduler(tmp_path / "again"):
        address = address_of(tmp_path / "again")
        with worker(tmp_path / "two", address) as two, worker(tmp_path / "three", address):
            runner = run_singlib(*command, address, root=root)
            orphans = wait_for(lambda: training(root) and kernels(two.pid), process=runner)
            orphans[0].parent().parent().kill()  # the worker itself; its nanny starts another
            assert runner.wait() == 0
            wait_for(lambda: not any(orphan.is_running() for orphan in orphans), 10)
    assert_undisturbed(root, smoke_root, PAIR)


def test_a_killed_kernel_without_retries_fails_and_status_says_so(root):
    runner = run_singlib("run", "--profile", "smoke", "--cells", KEYS[0], "--retries", "0", root=root, stderr=-1)
    wait_for(lambda: training(root) and kernels(runner.pid), process=runner)[0].kill()
    _, printed = runner.communicate()
    assert runner.returncode == 1 and b"the kernel died" in printed
    told = run_singlib("status", "--profile", "smoke", root=root, stdout=-1, text=True).communicate()[0]
    assert "smoke: 1 failed, 5 missing" in told and re.search(f"- {KEYS[0]} failed: the kernel died", told)


def test_a_killed_kernel_is_tried_again_while_status_and_a_second_runner_look_on(root, smoke_root, monkeypatch):
    command = ("run", "--profile", "smoke", "--cells", KEYS[0])
    first = run_singlib(*command, root=root)
    kernel = wait_for(lambda: training(root) and kernels(first.pid), process=first)[0]
    kernel.suspend()  # a smoke cell is quicker than the command
    told = run_singlib("status", "--profile", "smoke", root=root, stdout=-1, text=True).communicate()[0]
    assert re.search(rf"- {KEYS[0]} running: (autoencoder|lstm|fine-tuning) \d/\d, ends about \d\d:\d\d", told)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    second = run_singlib(*command, root=root, stdout=-1, text=True)
    assert any("another worker runs it, waiting" in line for line in second.stdout)
    kernel.kill()
    second.communicate()
    assert [first.wait(), second.returncode] == [0, 0]
    notebook = (root / "runs" / "smoke" / KEYS[0] / "train.ipynb").read_text()
    assert "fine-tuning" in notebook and "is done already" not in notebook, "the second has left it as it was"
    assert_undisturbed(root, smoke_root, KEYS[:1])


def test_what_another_command_runs_is_left_to_the_end(root):
    busy, free = (root / "runs" / "smoke" / name for name in PAIR)
    with locked(busy.parent / ".locks" / f"{busy.name}.notebook", ""):
        command = ("run", "--profile", "smoke", "--cells", PAIR_PATTERN, "--workers", "1")
        runner = run_singlib(*command, root=root)
        wait_for((free / "done.json").exists, process=runner)
        assert not busy.exists()
    assert runner.wait() == 0 and (busy / "done.json").exists()


def test_a_client_of_ones_own(smoke_root, capsys):
    """As from a notebook; a cell that is gone is trained again, to the same records."""
    folder = smoke_root / "runs" / "smoke" / KEYS[0]
    before = {name: (folder / name).read_bytes() for name in COMPARED}
    shutil.rmtree(folder)
    with cluster._client(None, 1) as client:
        assert cluster.run_grid(PROFILES["smoke"], KEYS[0], scheduler=client) == {}
    assert re.search(r"dashboard: http://127.0.0.1:\d+/status", capsys.readouterr().out)
    assert before == {name: (folder / name).read_bytes() for name in COMPARED}


def test_a_wrong_scheduler_or_worker_is_told(root, tmp_path):
    command = ("run", "--profile", "smoke", "--scheduler")
    gone = run_singlib(*command, "tcp://127.0.0.1:9", root=root, stderr=-1, text=True)
    _, printed = gone.communicate()
    assert gone.returncode == 1 and "no Dask scheduler answers at tcp://127.0.0.1:9" in printed
    with scheduler(tmp_path / "scheduler"):
        address = address_of(tmp_path / "scheduler")
        with worker(tmp_path / "wide", address, threads=2):
            wait_for(lambda: "Starting established connection" in (tmp_path / "wide" / "log").read_text())
            wide = run_singlib(*command, address, root=root, stderr=-1, text=True)
            _, printed = wide.communicate()
    assert wide.returncode == 1 and "has 2 threads; start it with --nthreads 1" in printed


@pytest.mark.parametrize(
    ("kills", "names", "pattern", "workers"),
    [(4, PAIR, PAIR_PATTERN, 1), pytest.param(20, ALL, "*", 2, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments(kills, names, pattern, workers, tmp_path, smoke_root, capsys):
    """Kernels, the processes they are forked from, workers and runners, each as often, in any order.

    What is on record is what an undisturbed grid leaves, and no process is left behind.
    """
    chance, struck = random.Random(kills), []
    victims = ["kernel", "their parent", "worker", "runner"] * (kills // 4)
    chance.shuffle(victims)
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    command = ("run", "--profile", "smoke", "--cells", pattern, "--workers", str(workers))
    for grid in range(3 * kills):  # one that ends although it was disturbed is followed by another
        if not victims:
            break
        root = make_root(tmp_path / f"root-{grid}")
        runner = run_singlib(*command, root=root, **quiet)
        while victims and runner.poll() != 0:
            if runner.poll() is not None:  # killed, or a cell was given up
                runner = run_singlib(*command, root=root, **quiet)
            with suppress(AssertionError):  # the runner ended meanwhile
                wait_for(lambda of=runner: kernels(of.pid), process=runner)
            time.sleep(chance.uniform(0, 4))
            with suppress(psutil.NoSuchProcess):
                if below := kernels(runner.pid):
                    parent = below[0].parent()
                    found = {"kernel": below[0], "their parent": parent, "worker": parent.parent(), "runner": runner}
                    found[victims[-1]].kill()
                    struck.append(victims.pop())
        runner.wait()
        assert run_singlib(*command, root=root, **quiet).wait() == 0
        assert_undisturbed(root, smoke_root, names)
        wait_for(lambda where=root: not processes(where), 20)
    assert not victims and sorted(set(struck)) == ["kernel", "runner", "their parent", "worker"]
    with capsys.disabled():
        print(f"\n{kills} kills: {', '.join(struck)}")


def processes(root):
    """Return the processes that work in a root, wherever they come from (Linux; elsewhere none are seen)."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, AttributeError):
            if process.environ().get("SINGLIB_ROOT") == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


EXECUTE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from singlib.runs.notebooks import execute
root = Path(sys.argv[1])
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda name: execute(root, "tiny", root / "out" / name / "tiny.ipynb", {}), sys.argv[2:]))
"""


@pytest.mark.parametrize("count", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_kernels_started_at_once_do_not_race_for_ports(count, tmp_path):
    """Three of each process, as from a worker with threads, and from several processes."""
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("# Parameters", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "notebooks" / "tiny.ipynb")
    command = [sys.executable, "-c", EXECUTE, str(tmp_path)]
    names = [[f"{number}-{each}" for each in range(3)] for number in range(count)]
    running = [subprocess.Popen([*command, *three], stderr=subprocess.DEVNULL) for three in names]
    assert [process.wait() for process in running] == [0] * count
    assert len(list(tmp_path.glob("out/*/tiny.ipynb"))) == 3 * count


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_spares_what_is_there(root, small_disk):
    (root / "runs").symlink_to(small_disk)
    kept = small_disk / "kept"
    kept.write_bytes(b"1" * 1_700_000)
    runner = run_singlib("run", "--profile", "smoke", "--cells", KEYS[0], root=root, stderr=-1, text=True)
    _, printed = runner.communicate()
    assert runner.returncode == 1 and "No space left on device" in printed and "Traceback" not in printed
    assert kept.stat().st_size == 1_700_000 and not list(small_disk.rglob("done.json"))


def test_a_dry_run_says_what_would_run_and_why(root, smoke_root):
    said = status.plan(PROFILES["smoke"], ALL, 2)
    assert said.count(" done") == 6 and said.endswith("nothing would run")
    process = run_singlib("run", "--profile", "smoke", "--dry-run", root=root, stdout=-1, text=True)
    told = process.communicate()[0]
    assert "6 cells would run" in told and "no time is recorded yet" in told
    assert not (root / "runs").exists()


def test_what_is_stale_is_said_with_its_reason(smoke_root, monkeypatch):
    monkeypatch.setattr(run_folder, "RECIPE", run_folder.RECIPE + 1)
    said = status.plan(PROFILES["smoke"], KEYS, 2)
    assert f"{KEYS[0]:30} stale    recipe (1 -> 2)" in said and "3 cells would run" in said
    assert "6 stale" in status.summary(PROFILES["smoke"])


def test_the_live_view_ends_when_nothing_runs(smoke_root, monkeypatch):
    """It is updated while a cell runs: here, a lock is held for the first look."""
    shown, looks = [], iter([True])
    monkeypatch.setattr(status, "held", lambda lock: lock.name == KEYS[0] and next(looks, False))
    handle = type("Handle", (), {"update": lambda self, view: shown.append(view.data)})()
    monkeypatch.setattr(status, "display", lambda view, display_id: shown.append(view.data) or handle)
    status.watch(PROFILES["smoke"], every=0)
    assert shown[0].startswith("smoke: 5 done, 1 running") and shown[-1].startswith("smoke: 6 done")


def test_gpus_get_a_worker_each(monkeypatch):
    monkeypatch.setattr(cluster, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # no GPU, and no CUDA here in any case
    assert cluster.default_workers(PROFILES["paper"]) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert cluster.default_workers(PROFILES["paper"]) == 3 and cluster._gpus("auto") == ["2", "3", "5"]
    assert cluster.default_workers(PROFILES["paper"], "cpu") == 2  # of four threads
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert cluster.default_workers(PROFILES["paper"]) == 2
    with cluster._client(None, 2) as client:
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        client.restart()  # as after a worker was killed
        assert sorted(seen.values()) == ["0", "1"]
        assert sorted(client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"]).values()) == ["0", "1"]


def test_an_interrupt_from_the_keyboard_ends_all_in_one_line(tmp_path):
    root = make_root(tmp_path / "root")
    command = [str(BIN / "singlib"), "run", "--profile", "smoke", "--workers", "1"]
    environment = os.environ | {"SINGLIB_ROOT": str(root)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell has its background jobs ignore it
    started = subprocess.Popen(command, env=environment, preexec_fn=heard, **options)
    wait_for(lambda: training(root), process=started)
    below = psutil.Process(started.pid).children(recursive=True)
    os.killpg(started.pid, signal.SIGINT)
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert said.rstrip().endswith("singlib run: interrupted; run it again to go on")
    assert "Traceback" not in said and "WARNING" not in said
    assert not psutil.wait_procs(below, timeout=30)[1], "nothing is left running"
