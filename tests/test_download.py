"""Exactly the wanted notes arrive, whatever goes wrong on the way; or an error says what, and nothing loads."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from nsynth_archive import OTHERS, WANTED, about, members, packed, served, stall, tar, wav

from singlib import nsynth
from singlib.files import project_folder
from singlib.nsynth import download

BODY = packed(members())
STAND_IN = Path(__file__).parents[2] / "shared" / "nsynth-standin" / "nsynth-test-standin.jsonwav.tar.gz"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    yield tmp_path


@pytest.fixture
def said():
    return []


def fetch(source, said=None, split="test"):
    if isinstance(source, bytes):
        file = project_folder() / "archive.tar.gz"
        file.write_bytes(source)
        source = str(file)
    return download.download(split, source, (said if said is not None else []).append)


def assert_whole(folder):
    """Exactly the wanted notes are there, as they were, and load."""
    assert {file.stem for file in (folder / "audio").iterdir()} == set(WANTED)
    assert all((folder / "audio" / f"{name}.wav").read_bytes() == wav(name) for name in WANTED)
    assert json.loads((folder / "examples.json").read_text()) == {name: about(name) for name in WANTED}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    notes = nsynth.load_notes("nsynth-test", tuple(nsynth.TABLE2))
    assert len(notes) == len(WANTED) and {label.pitch for label in notes.labels()} == {60, 62}


def assert_nothing_loads():
    with pytest.raises(FileNotFoundError, match=r"examples\.json is missing"):
        nsynth.load_notes("nsynth-test", ("keys",))


def test_a_file_gives_the_wanted_notes_and_no_others(said):
    assert_whole(fetch(BODY, said))
    fetch("nowhere", said)  # it is not asked for: all is there
    assert "is whole: 16 notes" in said[-1]


def test_metadata_may_come_first_and_reading_stops_when_all_is_there(monkeypatch, said):
    monkeypatch.setattr(download, "REST", 0)
    content = members(WANTED)
    first = dict(reversed(content.items())) | {
        f"nsynth-test/audio/bass_synthetic_009-{n:03d}-025.wav": wav(OTHERS[0]) for n in range(90)
    }
    with served(packed(first)) as server:
        assert_whole(fetch(server.url, said))
    assert "all notes have arrived" in said[-1] and "bytes were not read" in said[-1]


# What a server may do and a download recovers from.
CUTS = [int(len(BODY) * part) for part in np.random.default_rng(0).uniform(0.01, 0.99, 6)]
RECOVERED = {
    **{
        f"drops at {at}": lambda handler, attempt, at=at: handler.send(BODY, upto=at if attempt == 1 else None)
        for at in CUTS
    },
    **{
        f"drops at {at}, no ranges": lambda handler, attempt, at=at: handler.send(
            BODY, False, at if attempt == 1 else None
        )
        for at in CUTS[:2]
    },
    "drops again and again": lambda handler, attempt: handler.send(BODY, upto=attempt * len(BODY) // 20),
    "stalls once": lambda handler, attempt: (
        (handler.send(BODY, upto=50_000), stall(handler, 2)) if attempt == 1 else handler.send(BODY)
    ),
    "is busy twice": lambda handler, attempt: handler.begin(503) if attempt <= 2 else handler.send(BODY),
    "says no length": lambda handler, attempt: (handler.begin(), handler.wfile.write(BODY)),
    "redirects": lambda handler, attempt: (
        handler.begin(302, Location="/elsewhere") if attempt == 1 else handler.send(BODY)
    ),
}


@pytest.mark.parametrize("behave", RECOVERED.values(), ids=RECOVERED)
def test_a_bad_connection_is_taken_up_again(behave, said):
    with served(BODY, behave) as server:
        assert_whole(fetch(server.url, said))
    assert len(said) == sum("connecting again" in line for line in said)


# What it may do that cannot be mended; every error names what is wrong.
HOPELESS = {
    "has no such file": (lambda handler, attempt: handler.begin(404), ValueError, "404 Not Found"),
    "is always busy": (lambda handler, attempt: handler.begin(503), ConnectionError, "503.*6 times in a row"),
    "always stalls": (
        lambda handler, attempt: (handler.begin(Content_Length=len(BODY)), stall(handler, 1.5)),
        ConnectionError,
        "ReadTimeout.*6 times in a row",
    ),
    "always hangs up": (lambda handler, attempt: None, ConnectionError, "6 times in a row"),
    "says too long a length": (
        lambda handler, attempt: handler.send(BODY, Content_Length=len(BODY) + 1000),
        ValueError,
        "earlier than it said",
    ),
    "says too short a length": (
        lambda handler, attempt: handler.send(BODY, Content_Length=len(BODY) // 2),
        ValueError,
        "damaged or cut off",
    ),
    "changes the file": (
        lambda handler, attempt: handler.send(BODY, upto=200_000 * attempt, tag=f'"{attempt}"'),
        ValueError,
        "replaced by another file",
    ),
    "sends another range": (
        lambda handler, attempt: (
            handler.send(BODY, upto=200_000 if attempt == 1 else None, Content_Range="bytes 7-9/10")
            if attempt > 1
            else handler.send(BODY, upto=200_000)
        ),
        ValueError,
        "another part of the file",
    ),
    "is an error page": (
        lambda handler, attempt: handler.send(b"<html>Welcome to this network</html>"),
        ValueError,
        "damaged or cut off",
    ),
}


@pytest.mark.parametrize(("behave", "error", "message"), HOPELESS.values(), ids=HOPELESS)
def test_a_hopeless_server_is_named(behave, error, message, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with served(BODY, behave) as server, pytest.raises(error, match=f"(?s){server.url}.*{message}"):
        fetch(server.url)
    assert_nothing_loads()
    assert_whole(fetch(BODY))


def test_what_cannot_be_reached_is_named():
    with pytest.raises(ConnectionError, match="ConnectError"):
        fetch("http://127.0.0.1:9/nsynth-test.jsonwav.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar\.gz is missing"):
        fetch("nowhere.tar.gz")
    with pytest.raises(ValueError, match="unknown split 'tset'; choose one of train, valid, test"):
        fetch(BODY, split="tset")


def flipped(at):
    body = bytearray(BODY)
    body[at] ^= 0x10
    return bytes(body)


def changed(name, data):
    return packed(members() | {f"nsynth-test/{name}": data})


def without(*names):
    return packed({name: data for name, data in members().items() if Path(name).name not in names})


def special(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return packed(members(), [info])


NOTE, ANOTHER = WANTED[0], WANTED[1]
LISTED = {name: about(name) for name in WANTED}
FLIPS = np.random.default_rng(1).integers(20, len(BODY), 8)
DAMAGED = {
    **{f"truncated to {part:.0%}": (BODY[: int(part * len(BODY))], "damaged") for part in (0, 0.001, 0.3, 0.7, 0.999)},
    "without its checksum": (BODY[:-8], "damaged"),
    **{f"bit flipped at {at}": (flipped(at), "damaged|bad|disagree|says|not of the same") for at in FLIPS},
    "wrong checksum": (flipped(len(BODY) - 6), "damaged or cut off: CRC"),
    "no gzip": (tar(members()), "damaged or cut off: Not a gzipped file"),
    "no tar": (gzip.compress(b"notes" * 1000), "damaged"),
    "a tar cut off": (gzip.compress(tar(members())[:1_000_000], 1), "damaged|no examples.json"),
    "no metadata": (without("examples.json"), r"no examples\.json"),
    "metadata cut off": (changed("examples.json", json.dumps(LISTED).encode()[:-40]), "damaged"),
    "metadata of none": (changed("examples.json", b"{}"), "no note of"),
    "a note not listed": (changed("examples.json", json.dumps({NOTE: about(NOTE)}).encode()), "not listed"),
    "a note without sound": (without(f"{NOTE}.wav"), f"without sound .*{NOTE}"),
    "metadata say otherwise": (
        changed("examples.json", json.dumps(LISTED | {NOTE: about(ANOTHER)}).encode()),
        f"says of {NOTE}",
    ),
    "metadata that are a list": (changed("examples.json", b'["notes"]'), "no note of|damaged"),
    **{
        f"metadata say {said!r} of a note": (
            changed("examples.json", json.dumps(LISTED | {NOTE: said}).encode()),
            f"examples.json is damaged: {NOTE} ",
        )
        for said in ("low", None, [60], {}, about(NOTE) | {"pitch": 60.0}, about(NOTE) | {"velocity": True})
    },
    "wrong rate": (changed(f"audio/{NOTE}.wav", wav(NOTE, rate=22_050)), f"{NOTE}.wav has a sample rate of 22050"),
    "stereo": (changed(f"audio/{NOTE}.wav", wav(NOTE, shape=(64_000, 2))), f"{NOTE}.wav has 2 channels"),
    "too short": (changed(f"audio/{NOTE}.wav", wav(NOTE, shape=63_999)), f"{NOTE}.wav has 63999 samples"),
    "24 bit": (changed(f"audio/{NOTE}.wav", wav(NOTE, subtype="PCM_24")), f"{NOTE}.wav is WAV PCM_24"),
    "silent": (changed(f"audio/{NOTE}.wav", wav(NOTE, level=0)), f"{NOTE}.wav is silent"),
    "a wav cut off": (changed(f"audio/{NOTE}.wav", wav(NOTE)[:90_000]), f"{NOTE}.wav has .* samples"),
    "no wav": (changed(f"audio/{NOTE}.wav", b"sound"), f"{NOTE}.wav cannot be decoded"),
    "a huge wav": (changed(f"audio/{NOTE}.wav", bytes(2 << 20)), f"{NOTE}.wav has 2,097,152 bytes"),
    "up and away": (special(f"nsynth-test/audio/../../../{NOTE}.wav"), "outside the folder"),
    "absolute": (special(f"/audio/{NOTE}.wav"), "outside the folder"),
    "a symbolic link": (special(f"nsynth-test/audio/{NOTE}.wav", tarfile.SYMTYPE, "/etc/passwd"), "a link or device"),
    "a hard link": (special(f"nsynth-test/audio/{NOTE}.wav", tarfile.LNKTYPE, "x"), "a link or device"),
    "a device": (special("nsynth-test/audio/null", tarfile.CHRTYPE), "a link or device"),
}


@pytest.mark.parametrize(("body", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_named_and_leaves_nothing_that_loads(body, message, root):
    with pytest.raises(ValueError, match=message):
        fetch(body)
    assert_nothing_loads()
    assert not [file for file in root.rglob("*") if ".part" in file.name]
    assert_whole(fetch(BODY))


def test_an_interrupted_download_keeps_its_notes(said):
    half = len(BODY) // 2
    with served(BODY, lambda handler, attempt: handler.send(BODY, upto=half)) as server, pytest.raises(ConnectionError):
        fetch(server.url)
    kept = {file: file.stat().st_mtime_ns for file in project_folder().rglob("*.wav")}
    assert 4 < len(kept) < len(WANTED)
    assert_nothing_loads()
    assert_whole(fetch(BODY, said))
    assert f"{len(kept)} notes are here from an earlier attempt" in said[0]
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items()), "not written again"


def test_killed_and_started_again_it_gets_there(root, said):
    def behave(handler, attempt):
        handler.send(BODY, upto=len(BODY) // 2, Content_Length=len(BODY))
        stall(handler, 20)

    environment = os.environ | {"SINGLIB_ROOT": str(root)}
    with served(BODY, behave) as server:
        command = [sys.executable, "-m", "singlib", "data", "--split", "test", "--source", server.url]
        process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 60
        while len(list(root.rglob("*.wav"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
    (root / "data" / "nsynth-test" / "audio" / f".{NOTE}.1.part.wav").write_bytes(b"half")  # what a kill may leave
    assert_nothing_loads()
    assert_whole(fetch(BODY, said))
    assert "notes are here from an earlier attempt" in said[0]


def test_of_two_at_once_the_second_finds_it_done(root):
    environment = os.environ | {"SINGLIB_ROOT": str(root)}
    archive = root / "archive.tar.gz"
    archive.write_bytes(BODY)
    command = [sys.executable, "-m", "singlib", "data", "--split", "test", "--source", str(archive)]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("is whole: 16 notes" in output for output in outputs) == 1
    assert_whole(root / "data" / "nsynth-test")


def test_the_train_split_needs_only_the_papers_notes_and_comes_from_the_public_address(monkeypatch, said):
    notes = dict(list(nsynth.paper_notes("nsynth-train").items())[::200])
    monkeypatch.setattr(nsynth, "paper_notes", lambda data: notes)
    monkeypatch.setattr(download, "REST", 0)
    outside = "brass_acoustic_001-065-100"  # of an instrument of the paper, above its range
    content = members([*notes, outside, *(f"bass_synthetic_009-{n:03d}-025" for n in range(20))], "train")
    content = {"nsynth-train/examples.json": content.pop("nsynth-train/examples.json")} | content
    with served(packed(content)) as server:
        monkeypatch.setattr(download, "ADDRESS", server.url.replace("test", "{split}"))
        folder = fetch(None, said, "train")
    assert {file.stem for file in (folder / "audio").iterdir()} == set(notes)
    assert "bytes were not read" in said[-1]
    assert nsynth.index("nsynth-train").keys() == set(notes.values())


def test_a_kept_note_that_the_archive_has_otherwise_is_replaced(said):
    folder = project_folder() / "data" / "nsynth-test" / "audio"
    folder.mkdir(parents=True)
    (folder / f"{NOTE}.wav").write_bytes(wav(ANOTHER))
    assert_whole(fetch(BODY, said))
    assert any(f"{NOTE}.wav differs" in line for line in said)


def test_damage_after_the_download_is_seen_and_mended(said):
    folder = fetch(BODY)
    file = folder / "audio" / f"{NOTE}.wav"
    content = bytearray(file.read_bytes())
    content[9_000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{NOTE}.wav is not what SHA256SUMS says"):
        nsynth.load_notes("nsynth-test", ("keys",))
    assert_whole(fetch(BODY, said))
    assert any("damaged, fetching it again" in line for line in said)


@pytest.mark.parametrize("line", [b"cut short", b"\xff\xfe" * 40])
def test_a_damaged_list_of_digests_is_named_and_mended(said, line):
    folder = fetch(BODY)
    with (folder / "SHA256SUMS").open("ab") as sums:
        sums.write(line + b"\n")
    with pytest.raises(ValueError, match=r"line 18 of .*SHA256SUMS is no SHA-256 and file name"):
        nsynth.load_notes("nsynth-test", ("keys",))
    assert_whole(fetch(BODY, said))
    assert "fetching all of it again" in said[0]


def test_a_list_of_digests_may_be_written_in_binary_mode(said):
    sums = fetch(BODY) / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("  ", " *") + "\n")
    fetch("nowhere", said)
    assert "is whole: 16 notes" in said[-1]


def test_notes_of_ones_own_are_left_alone(said):
    folder = fetch(BODY)
    (folder / "SHA256SUMS").unlink()
    before = (folder / "examples.json").read_bytes()
    fetch("nowhere", said)
    assert "used as they are" in said[0] and (folder / "examples.json").read_bytes() == before


@pytest.mark.skipif(not STAND_IN.is_file(), reason="the stand-in archive is not beside the project")
def test_the_stand_in_over_a_bad_line(said):
    body = STAND_IN.read_bytes()
    behave = lambda handler, attempt: handler.send(body, upto=attempt * 20_000_000)  # noqa: E731
    with served(body, behave) as server:
        folder = fetch(server.url, said)
    assert len(said) == 2 and len(list((folder / "audio").iterdir())) == 477
    counts = {role: len(nsynth.select("nsynth-test", (role,))) for role in nsynth.TABLE2}
    assert list(counts.values()) == [119, 108, 22, 32, 84, 42, 39, 31]


PEAK = """
import re, sys
from pathlib import Path
from singlib.nsynth import download
download.download("test", sys.argv[1])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read as Linux has it")
def test_memory_stays_flat_over_two_gigabytes(root):
    """A generated stream: the same unwanted note over and over, then an archive with metadata of NSynth's size."""
    every = {f"bass_synthetic_{n:06d}-060-100": about("bass_synthetic_009-060-100") for n in range(289_205)}
    listed = every | {name: about(name) for name in WANTED}
    last = packed(members() | {"nsynth-test/examples.json": json.dumps(listed, indent=1).encode()})
    filler = gzip.compress(
        tar({f"nsynth-test/audio/{OTHERS[0]}.wav": np.random.default_rng(0).bytes(1 << 20)})[: (1 << 20) + 512], 1
    )

    def behave(handler, attempt):
        handler.begin()
        for _ in range(2000):
            handler.wfile.write(filler)
        handler.wfile.write(last)

    with served(BODY, behave) as server:
        command = [sys.executable, "-c", PEAK, server.url]
        environment = os.environ | {"SINGLIB_ROOT": str(root)}
        peak = int(
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()[-1]
        )
    assert 20 < peak < 300, f"{peak} MB"
    assert_whole(root / "data" / "nsynth-test")
