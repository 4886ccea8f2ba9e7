"""Bad luck: damaged, lost and unreadable files, folders without rights, odd places. What is whole goes on."""

import ast
import ctypes
import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from conftest import PROJECT, call_singlib, make_root, run_singlib
from singlib.files import check_writable, held, read_json, replacing
from singlib.grid import PROFILES, Cell, cells
from singlib.nsynth import audio
from singlib.runs import again, cluster, kernels, notebooks, records, status, training, warm
from singlib.runs.run_folder import Run

SMOKE = PROFILES["smoke"]
CELL = "keys-ELU-CQT-flow-0"
OTHERS = {cell.name for cell in cells(SMOKE)} - {CELL}


def without_override():
    """Take from root, in a child, what lets it read and write everything."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def singlib(*arguments, root, **options):
    """Run the command line without root's rights; return exit status, output and errors."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": without_override}
    process = run_singlib(*arguments, root=root, **pipes, **options)
    return (process.communicate(), process.returncode)[::-1]


@pytest.fixture
def root(tmp_path, smoke_root):
    """Return a root with a finished smoke grid of its own."""
    folder = make_root(tmp_path / "root")
    shutil.copytree(smoke_root / "runs", folder / "runs")
    return folder


@pytest.fixture
def here(root, monkeypatch):
    """Have this process work in `root`."""
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    return root


def folder_of(root):
    return root / "runs" / "smoke" / CELL


def old_marker(folder):
    """Make a marker one of a singlib that did not note the files."""
    marker = json.loads((folder / "done.json").read_text())
    del marker["files"]
    (folder / "done.json").write_text(json.dumps(marker))


FILES = ["cell.json", "done.json", "history.csv", "quality.csv", "sing.safetensors", "generated/keys-066-100.flac"]
DAMAGES = {
    "removed": lambda file: file.unlink(),
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "garbage": lambda file: file.write_bytes(b"\xff\x00\xfe garbage"),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


def any_generated(folder, name):
    return folder / name if not name.startswith("generated") else sorted((folder / "generated").iterdir())[0]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_one_damaged_file_is_one_damaged_cell(here, name, how):
    file = any_generated(folder_of(here), name)
    DAMAGES[how](file)
    found = records.load("smoke")
    assert found.missing == [CELL] and set(found.history.cell) == set(found.quality.cell) == OTHERS
    states = status.cell_states(SMOKE).set_index("cell")
    assert states.state[CELL] == "damaged" and str(file) in states.detail[CELL]
    assert (states.state[list(OTHERS)] == "done").all() and f"{CELL} damaged: {file}" in status.summary(SMOKE)


@pytest.mark.parametrize("how", ["removed", "emptied", "garbage"])
@pytest.mark.parametrize("name", [name for name in FILES[:4] if name != "done.json"])
def test_a_run_whose_marker_names_no_files_is_looked_at_too(here, name, how):
    old_marker(folder_of(here))
    assert not records.load("smoke").missing and Run(Cell("keys", "ELU", "CQT"), SMOKE).state() == "done"
    DAMAGES[how](folder_of(here) / name)
    assert records.load("smoke").missing == [CELL]
    assert name in Run(Cell("keys", "ELU", "CQT"), SMOKE).damage()


def test_run_sets_a_damaged_run_aside_and_trains_it_again(root):
    kept = (folder_of(root) / "history.csv").read_bytes()
    (folder_of(root) / "quality.csv").unlink()
    (_, printed), code = singlib("run", "--profile", "smoke", root=root)[::-1]
    assert code == 0, printed
    assert (folder_of(root) / "history.csv").read_bytes() == kept
    notebook = (folder_of(root) / "train.ipynb").read_text()
    assert "quality.csv is gone" in notebook and "training it again" in notebook
    aside = next((root / "runs" / "smoke" / ".stale").iterdir())
    assert (aside / "history.csv").read_bytes() == kept


def test_a_damaged_run_stays_where_no_notes_are_to_train_it_again(here):
    (folder_of(here) / "quality.csv").unlink()
    (here / "data" / "mini").unlink()
    with pytest.raises(FileNotFoundError):
        training.train_cell(Cell("keys", "ELU", "CQT"), SMOKE)
    assert (folder_of(here) / "history.csv").is_file() and not (here / "runs" / "smoke" / ".stale").exists()


def test_a_run_without_its_notebook_would_run(here):
    assert "nothing would run" in status.plan(SMOKE, [CELL], 1)
    (folder_of(here) / "train.ipynb").unlink()
    assert "1 cells would run" in status.plan(SMOKE, [CELL], 1)


def test_a_file_system_without_locks_is_named(here, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"\.lock cannot be locked .*: its file system has no locks"):
        status.summary(SMOKE)


def test_why_kernels_cannot_be_started_is_told(tmp_path, monkeypatch):
    root = make_root(tmp_path / "root")
    (root / "runs").touch()
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    monkeypatch.setattr(kernels, "_source", kernels._Source())
    with pytest.raises(OSError, match=r"no kernel can be started: FileExistsError: .*/runs"):
        notebooks.execute(root, "07-questions", root / "figures" / "x" / "07.ipynb", {"profile": "recorded"})


@pytest.mark.parametrize("content", [b"", b'{"error": "x"', b"[]", b'{"error": "x"}'])
def test_a_damaged_note_of_a_failure_is_told(here, content):
    shutil.rmtree(folder_of(here))
    file = here / "runs" / "smoke" / ".failed" / f"{CELL}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    assert f"{CELL} failed: why cannot be read: {file} is damaged" in status.summary(SMOKE)


@pytest.mark.parametrize("part", ["done.json", "cell.json", "history.parquet"])
def test_damaged_carried_records_are_named(here, part, tmp_path):
    assert call_singlib("carry", "--profile", "smoke", root=here).returncode == 0
    shutil.rmtree(here / "runs")
    assert "6 recorded" in status.summary(SMOKE) and not records.load("smoke").missing
    place = here / "data" / "smoke"
    file = place / part if part.endswith("parquet") else place / "cells" / CELL / part
    file.write_bytes(b'{"half')
    if part.endswith("parquet"):
        with pytest.raises(ValueError, match=r"history\.parquet is damaged"):
            records.load("smoke")
    else:
        assert records.load("smoke").missing == [CELL]
        told = call_singlib("carry", "--profile", "smoke", root=here).stderr
        assert "damaged" in told or part == "cell.json"
        assert (place / "cells" / CELL).is_dir(), "nothing is taken out"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': [], 'a'".ljust(130), b"garbage" * 50, None])
@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_cache_is_built_again(tmp_path, suffix, content):
    files = sorted((PROJECT / "data" / "mini" / "audio").iterdir())[:2]
    (tmp_path / "data" / "few").mkdir(parents=True)
    files = [Path(shutil.copy(file, tmp_path / "data" / "few")) for file in files]
    waveforms, digests = audio.waveforms_and_digests(tmp_path / "data" / "few", files)
    waveforms = np.array(waveforms)
    store = tmp_path / "data" / ".cache" / f"few{suffix}"
    store.write_bytes(store.read_bytes()[:-100] if content is None else content)
    found, again_ = audio.waveforms_and_digests(tmp_path / "data" / "few", files)
    assert np.array_equal(found, waveforms) and again_ == digests


def test_text_is_utf_8_whatever_the_locale(root, monkeypatch):
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    (_, printed), code = singlib("report", "--profile", "smoke", "--only", "claims,table3", root=root)[::-1]
    assert code == 0, printed
    assert "✘" in (root / "figures" / "smoke" / "claims.md").read_text(encoding="utf-8")


def test_every_text_file_is_opened_with_an_encoding():
    """By name, since a linter cannot tell what is a path."""
    files = list((PROJECT / "singlib").rglob("*.py"))
    assert len(files) > 60
    for file in files:
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                modes = [node.value for node in call.args if isinstance(node, ast.Constant)]
                named = "encoding" in [keyword.arg for keyword in call.keywords] or "utf-8" in modes
                text = call.func.attr in ("read_text", "write_text") or (
                    call.func.attr == "open" and not any("b" in str(mode) or "|" in str(mode) for mode in modes)
                )
                library = isinstance(call.func.value, ast.Name) and call.func.value.id in ("tarfile", "Image", "os")
                assert named or library or not text, f"{file.name}:{call.lineno} opens a text without encoding="


def test_looking_needs_no_right_to_write(root):
    cached = make_root(root.parent / "bare")  # nothing decoded, nothing run
    (cached / "data" / "mini").unlink()
    shutil.copytree(PROJECT / "data" / "mini", cached / "data" / "mini")
    kept = (cached, cached / "data", root / "data", root / "runs", root / "runs" / "smoke", root)
    for folder in kept:
        folder.chmod(0o555)
    try:
        for place, said in ((root, "6 done"), (cached, "6 missing")):
            before = sorted(place.rglob("*"))
            code, (printed, errors) = singlib("status", "--profile", "smoke", root=place)
            assert code == 0 and said in printed, errors
            assert singlib("run", "--profile", "smoke", "--dry-run", root=place)[0] == 0
            assert sorted(place.rglob("*")) == before
        for only in ((), ("--only", "table1")):
            code, (_, errors) = singlib("report", "--profile", "smoke", *only, root=root)
            assert code == 1 and f"no right to write to {root}" in errors and len(errors.splitlines()) == 1
    finally:
        for folder in reversed(kept):
            folder.chmod(0o755)


@pytest.mark.parametrize("profile", ["recorded", "paper", "recorded-best"])
def test_status_and_a_dry_run_need_no_notes(profile, tmp_path):
    root = make_root(tmp_path / "root")
    done = call_singlib("status", "--profile", profile, root=root)
    assert done.returncode == 0, done.stderr
    recorded = len(list((PROJECT / "data" / profile / "cells").glob("*/done.json")))
    assert (f"{recorded} recorded" if recorded else "missing") in done.stdout
    done = call_singlib("run", "--profile", profile, "--dry-run", root=root)
    assert done.returncode == 0 and "cells would run" in done.stdout, done.stderr
    assert not (root / "runs").exists()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_get_the_mode_of_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "weights.safetensors") as beside:
            save_file({"a": np.zeros(3)}, beside)
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", ["done.json", "history.csv", "checkpoint.safetensors"])
def test_what_may_not_be_read_is_not_called_missing(root, name):
    file = folder_of(root) / name
    if name.startswith("checkpoint"):
        shutil.rmtree(file.parent)
        file.parent.mkdir()
        file.write_bytes(b"of another user")
    file.chmod(0)
    code, (_, errors) = singlib("status", "--profile", "smoke", root=root)
    assert code == 1 and errors.strip() == f"singlib status: {file}: Permission denied"


def test_a_run_that_finishes_while_it_is_read_is_done(here, monkeypatch):
    run = Run(Cell("keys", "ELU", "CQT"), SMOKE)
    marker = folder_of(here) / "done.json"
    aside = marker.rename(marker.with_name("later"))
    read = Run.progress

    def finish_first(self):
        aside.rename(marker)  # the other process: marker first, then the checkpoint goes
        monkeypatch.setattr(Run, "progress", read)
        return read(self)

    monkeypatch.setattr(Run, "progress", finish_first)
    assert run.state() == "done"


def test_reading_while_another_finishes_never_fails(here):
    run = Run(Cell("keys", "ELU", "CQT"), SMOKE)
    facts, states, finished, ended = run.facts(), set(), [], threading.Event()

    def finish_again_and_again():
        try:
            for _ in range(60):
                run.save_checkpoint({"weight": np.arange(3.0)}, {"stage": "lstm", "epoch": 1})
                (run.folder / "done.json").unlink()
                run.finish(facts)
                finished.append(run.state())
        finally:
            ended.set()

    writer = threading.Thread(target=finish_again_and_again)
    writer.start()
    while not ended.is_set():
        states.add(run.state())
        held(run.lock)
    writer.join()
    assert states <= {"done", "begun", "damaged"}  # damaged: cell.json is replaced before its marker
    assert finished == ["done"] * 60


def test_as_many_workers_as_the_process_has_cores():
    command = (
        "from singlib.grid import PROFILES; from singlib.runs.cluster import default_workers; "
        "print(default_workers(PROFILES['smoke']))"
    )
    keep = {min(os.sched_getaffinity(0))}
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, keep),
    )
    assert int(found.stdout) == 1


@pytest.mark.parametrize(
    ("seconds", "workers", "span"),
    [([100], 1, 100), ([60, 50, 40, 10], 2, 90), ([100, 1, 1], 8, 100), ([5] * 5, 2, 15)],
)
def test_a_grid_takes_as_long_as_its_longest_worker(seconds, workers, span):
    assert status._span(seconds, workers) == span


def test_a_dry_run_does_not_divide_a_single_cell(here):
    shutil.rmtree(folder_of(here))
    alone = status.plan(SMOKE, [CELL], 8)
    assert alone == status.plan(SMOKE, [CELL], 1).replace("8 at a time", "1 at a time") and "1 at a time" in alone


def test_a_long_temporary_folder_braces_and_another_python3(tmp_path, monkeypatch):
    """Sockets, papermill's parameters in paths, and the kernel that a name stands for."""
    root = make_root(tmp_path / "a root {x} (y)")
    long = tmp_path / ("t" * 104)
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    for folder in (long, kernel):
        folder.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "another", "language": "python"}')
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    code, (_, errors) = singlib("run", "--profile", "smoke", "--cells", CELL, root=root)
    assert code == 0, errors
    assert not list(long.glob("singlib-*"))


def test_workers_import_librosa_one_at_a_time(tmp_path, monkeypatch):
    """Two that compile it at once spoil what numba keeps; this one waits for another."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    imported = []
    monkeypatch.setattr(warm, "import_module", imported.append)
    (tmp_path / "runs").mkdir()
    with (tmp_path / "runs" / ".librosa.lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=warm.import_librosa)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and not imported
    waiting.join(10)
    assert imported == ["librosa.util.utils", "librosa.core.audio", "librosa.core.pitch"]


def test_a_missing_notebook_is_heard_of(tmp_path, monkeypatch):
    root = make_root(tmp_path / "root")
    (root / "notebooks").unlink()
    (root / "notebooks").mkdir()
    cell = Cell("keys", "ELU", "CQT")
    monkeypatch.setenv("SINGLIB_ROOT", str(root))  # run_cell sets it
    assert "train.ipynb" in cluster.run_cell(cell, SMOKE, str(root))
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    assert f"{CELL} failed: FileNotFoundError" in status.summary(SMOKE)


def test_any_error_around_a_notebook_is_heard_of(tmp_path, monkeypatch):
    root = make_root(tmp_path / "root")
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    monkeypatch.setattr(cluster, "execute", lambda *_: (_ for _ in ()).throw(KeyError("of some library")))
    assert "KeyError" in cluster.run_cell(Cell("keys", "ELU", "CQT"), SMOKE, str(root))
    assert "KeyError" in read_json(root / "runs" / "smoke" / ".failed" / f"{CELL}.json")["error"]


def test_the_kernel_is_this_python():
    assert kernels.Kernels(kernel_name="python3").kernel_spec.argv[0] == sys.executable


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_resumed_elsewhere_says_so(tmp_path, monkeypatch, moved):
    monkeypatch.setenv("SINGLIB_ROOT", str(make_root(tmp_path)))
    from dataclasses import replace

    small, said = replace(SMOKE, epochs=(1, 1, 1)), []

    def stop(line):
        if line.startswith("lstm"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        training.train_cell(Cell("brass1"), small, "cpu", stop)
    if moved:
        monkeypatch.setattr(training, "device_name", lambda device: "another device")
    legs = training.train_cell(Cell("brass1"), small, "cpu", said.append).facts()["legs"]
    assert any("(" in line and "another device" in line for line in said) == moved
    assert [(leg["stage"], leg["epoch"]) for leg in legs] == [("autoencoder", 0), ("lstm", 1)][: 1 + moved]
    assert all(leg["torch"] and leg["platform"] and "processor" in leg for leg in legs)


def test_again_with_a_wrong_path_is_a_sentence(tmp_path):
    (tmp_path / "cell.json").write_text("{}")
    for folder, said in ((tmp_path / "none", "holds no cell.json"), (tmp_path, "cell.json is damaged (no recipe)")):
        with pytest.raises((FileNotFoundError, ValueError), match=str(folder)) as found:
            again.train_again(folder)
        assert said in str(found.value) and "Errno" not in str(found.value)


def test_a_scheduler_without_workers_is_told(tmp_path, monkeypatch, capsys):
    from dask.distributed import Client, LocalCluster

    root = make_root(tmp_path / "root")
    monkeypatch.setattr(cluster, "WORKERS_WITHIN", 0.2)
    monkeypatch.setattr(cluster, "run_cell", lambda *_: None)
    monkeypatch.setenv("SINGLIB_ROOT", str(root))
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local, Client(local) as client:
        later = threading.Timer(3, local.scale, [1])
        monkeypatch.setattr(cluster, "_check_threads", lambda client: None)
        later.start()
        assert cluster.run_grid(SMOKE, CELL, scheduler=client) == {}
        later.join()
    assert "has no workers yet; waiting" in capsys.readouterr().err


def test_a_users_matplotlibrc_changes_no_figure(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    (tmp_path / "mpl").mkdir()
    pictures = []
    for content in ("", "text.usetex: True\nfont.size: 30\nsavefig.bbox: tight\naxes.facecolor: red\n"):
        (tmp_path / "mpl" / "matplotlibrc").write_text(content)
        code, (_, errors) = singlib("report", "--profile", "smoke", "--only", "fig07", root=root)
        assert code == 0, errors
        pictures.append((root / "figures" / "smoke" / "fig07.svg").read_bytes())
    assert pictures[0] == pictures[1]
    (tmp_path / "shown").mkdir()
    shown = "import matplotlib; print(matplotlib.rcParams['font.size'])"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(shown)],
        metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}},
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "tiny.ipynb")
    notebooks.execute(tmp_path, "tiny", tmp_path / "shown" / "tiny.ipynb", {})
    assert '"10.0\\n"' in (tmp_path / "shown" / "tiny.ipynb").read_text()


def test_check_writable_looks_up_to_what_is_there(tmp_path):
    check_writable(tmp_path / "not" / "yet")


def damaged(file, how, where):
    content = file.read_bytes()
    cut = int(where * len(content))
    return {"cut": content[:cut], "empty": b"", "bytes": content[:cut] + b"\x00\xff{" + content[cut + 3 :]}.get(how)


@pytest.fixture(scope="module")
def spare(smoke_root, tmp_path_factory):
    folder = make_root(tmp_path_factory.mktemp("spare") / "root")
    shutil.copytree(smoke_root / "runs", folder / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINGLIB_ROOT", str(folder))
        yield folder


def shoot(folder, data):
    """Damage one file of a finished run in any way, look at it in every way, and put it back."""
    place = folder_of(folder)
    run = Run(Cell("keys", "ELU", "CQT"), SMOKE)
    files = sorted(file for file in place.rglob("*") if file.is_file() and file.suffix != ".ipynb")
    file = data.draw(st.sampled_from(files))
    how = data.draw(st.sampled_from(["cut", "empty", "bytes", "gone", "another's", "any"]))
    kept = file.read_bytes()
    content = damaged(file, how, data.draw(st.floats(0, 0.99)))
    if how == "another's":  # of another cell
        theirs = folder / "runs" / "smoke" / "brass1-ReLU-STFT-flow-0" / file.relative_to(place)
        content = theirs.read_bytes() if theirs.is_file() else b"{}"
    if how == "any":
        content = data.draw(st.binary(max_size=200))
    try:
        file.unlink() if content is None else file.write_bytes(content)
        before = sorted(place.rglob("*"))
        state, found = run.state(), records.load("smoke")
        assert set(found.history.cell) >= OTHERS and set(found.missing) <= {CELL}
        assert (found.missing == []) == (state == "done")
        assert state in ("done", "damaged", "stale")
        same_size = content is not None and len(content) == len(kept) and file.suffix in (".flac", ".safetensors")
        assert state != "done" or content == kept or same_size or file.name == "done.json"
        told = status.summary(SMOKE)
        assert ("6 done" in told) == (state == "done")
        assert state != "damaged" or str(place) in run.damage()
        assert sorted(place.rglob("*")) == before, "looking changes nothing"
    finally:
        file.write_bytes(kept)


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=25, derandomize=True, **QUIET)
@given(data=st.data())
def test_any_damage_to_a_run_is_its_own(spare, data):
    shoot(spare, data)


@pytest.mark.slow
@settings(max_examples=500, **QUIET)
@given(data=st.data())
def test_any_damage_to_a_run_is_its_own_at_length(spare, data):
    shoot(spare, data)
