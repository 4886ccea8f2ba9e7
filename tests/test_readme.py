"""The READMEs keep their word: their commands and their Python are read from them and run, at smoke size."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import yaml

from conftest import PROJECT, ROOT, call_singlib

PAGES = [page for pattern in ("README.md", "*/README.md", "singlib/*/README.md") for page in PROJECT.glob(pattern)]
TEXTS = {str(page.relative_to(PROJECT)): page.read_text() for page in sorted(PAGES)}
_COMMAND = re.compile(r"^    ((?:make|papermill|singlib|dask|conda|CUDA_VISIBLE_DEVICES=\S+) .*)$", re.M)
COMMANDS = list(dict.fromkeys(command for text in TEXTS.values() for command in _COMMAND.findall(text)))
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
]
BIN = Path(sys.executable).parent
SMALL = {
    'load("quick")': 'load("smoke")',
    "--profile quick": "--profile smoke",
    "PROFILE=quick": "PROFILE=smoke",
    "data/recorded/cells/brass1-3-": "runs/smoke/brass1-",
}
# What make would do is asked of make itself.
LONG = ("make paper", "make test", "make lab", "make data", "make bench", "make report")
FAR = ("--scheduler", "--profile paper")  # for machines that a test has not: they only say what they would do
ELSEWHERE = ("dask ", "conda ", "CUDA_VISIBLE_DEVICES")  # tools beside ours: their words are checked


def small(text):
    """Put the smoke grid in the place of the larger ones."""
    for large, little in SMALL.items():
        text = text.replace(large, little)
    return text


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(ELSEWHERE)])
def test_a_command_does_what_it_says(command, smoke_root, tmp_path, monkeypatch):
    words = shlex.split(small(command))
    if words[0] == "make":
        # The environment at hand, whatever its age.
        words[1:1] = ["--directory", str(PROJECT), f"BIN={BIN}", "--assume-old=.venv/.fresh"]
        words += ["--dry-run"] * command.startswith(LONG)
    elif any(far in command for far in FAR):
        words = [*shlex.split(command.replace("--profile paper", "--profile smoke")), "--dry-run"]
    if words[0] == "papermill":
        words[1] = str(PROJECT / words[1])
    if words[:2] == ["singlib", "report"]:
        words += ["--only", "table1"]  # test_path.py and test_page.py build whole reports
    where = ROOT if {"generate", "again", "play"} & set(words) else tmp_path  # runs are named from the project's folder
    words = [str(tmp_path / word) if word in ("notes", "song.wav") else word for word in words]
    monkeypatch.chdir(where)
    if words[0] == "singlib":
        done = call_singlib(*words[1:])
    else:
        words[0] = str(BIN / words[0]) if (BIN / words[0]).exists() else words[0]
        environment = os.environ | {"SINGLIB_ROOT": str(ROOT)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if "generate" in words:
        assert [file.name for file in sorted((tmp_path / "notes").iterdir())] == [
            f"brass2-{pitch:03d}-100.wav" for pitch in (60, 64, 67)
        ]
        for pitch in (
            60,
            64,
            67,
        ):  # it misses many pitches that it was not trained on
            waveform, rate = soundfile.read(tmp_path / "notes" / f"brass2-{pitch:03d}-100.wav")
            heard = np.median(librosa.yin(waveform, fmin=60, fmax=1500, sr=rate)[5:60])
            assert abs(librosa.hz_to_midi(heard) - pitch) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["smoke", "recorded"])
def test_make_report_builds_a_page(profile, smoke_root):
    command = ["make", "report", f"PROFILE={profile}", f"BIN={BIN}", "--assume-old=.venv/.fresh"]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"SINGLIB_ROOT": str(ROOT)}, check=True)
    assert (ROOT / "figures" / profile / "report.html").stat().st_size > 1_000_000


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_download_says_what_it_would_fetch(split):
    said = call_singlib("data", "--split", split, "--dry-run").stdout
    assert f"nsynth-{split}.jsonwav.tar.gz" in said and "keys (" in said and "brass5 (" in said


def test_words_for_other_tools_are_theirs():
    others = [command for command in COMMANDS if command.startswith(ELSEWHERE)]
    assert {command.split()[0] for command in others} == {"conda", "dask", "CUDA_VISIBLE_DEVICES=0"}
    dask = [re.search(r"dask (\w+)(.*)", command).groups() for command in others if "dask" in command]
    assert {tool for tool, _ in dask} == {"scheduler", "worker"} and any("--" in options for _, options in dask)
    for tool, options in dask:
        said = subprocess.run([BIN / "dask", tool, "--help"], capture_output=True, text=True, check=True).stdout
        assert all(option in said for option in re.findall(r"--[\w-]+", options))
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    assert environment["name"] == "singlib"


@pytest.mark.parametrize("block", BLOCKS)
def test_python_runs_as_printed(block, smoke_root):
    """Each block as it stands, after the names that the text around it supposes."""
    given = {
        "estimate": "import torch\nestimate, target = torch.randn(2, 1, 65_024, requires_grad=True)",
        "generated": "import numpy as np\ngenerated, target = np.random.default_rng(0).standard_normal((2, 64_000))",
    }
    block = small(block)
    if "SLURMCluster" in block:
        pytest.skip("needs a SLURM cluster and dask-jobqueue")
    before = [line for name, line in given.items() if re.search(rf"\({name},", block)]
    code = "\n".join([*before, block])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"^# .*?(all \d+ parameters get a gradient)|^print.*  # (.*?):", block, re.M):
        assert "".join(line) in done.stdout


@pytest.mark.parametrize("page", [*TEXTS, "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", (PROJECT / page).read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (PROJECT / page).parent / name if name else PROJECT / page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, link


def test_the_citation_is_whole():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert citation["license"] == "MIT" and len(citation["references"]) == 2
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
