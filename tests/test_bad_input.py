"""Bad notes, weights and wishes are refused in a sentence that names them, before anything is lost."""

import contextlib
import copy
import errno
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from conftest import call_singlib, run_singlib
from singlib import nsynth
from singlib.grading import measures
from singlib.grading.grades import grade
from singlib.network import generation, weights
from singlib.network.generation import load_model, write_notes
from singlib.nsynth import Label, audio, download, selection
from singlib.report import tables

TONE = np.sin(np.arange(64_000) / 10)


@pytest.mark.parametrize("samples", [1, 1000, 1316])
def test_a_sound_too_short_for_the_ear_is_refused_before_it_kills_the_process(samples):
    """Native code would write beyond its memory; in a process of its own, since the tests would die with it."""
    asked = (
        "import numpy as np; from singlib.grading.grades import grade; "
        f"x = np.sin(np.arange({samples}) + 1); grade(x, x, 69)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ValueError: ")
    assert f"({samples},)" in done.stderr and "1317" in done.stderr


def test_the_shortest_sound_is_compared():
    """Its memory is watched by the C library, which ends the process at a write beyond its end."""
    asked = "import numpy as np; from singlib.grading.measures import distance, _SHORTEST as n\n"
    asked += "for seed in range(20): print(distance(*np.random.default_rng(seed).standard_normal((2, n))))"
    watched = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=os.environ | watched)
    assert done.returncode == 0, done.stderr
    assert all(0 <= float(line) <= 1 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "spoilt",
    [np.where(TONE > 0.9, np.nan, TONE), np.where(TONE > 0.9, np.inf, TONE), TONE * 1e12, TONE[None], TONE[:0]],
)
def test_no_sound_reaches_native_code_unchecked(spoilt):
    """On what is no number zimtohrli's time warping runs until the memory is full."""
    with pytest.raises(ValueError, match="cannot be compared"):
        measures.distance(spoilt, TONE)
    with pytest.raises(ValueError, match="cannot be compared"):
        measures.distance(TONE, spoilt)


def test_a_grade_of_sounds_beyond_any_scale_is_refused():
    with pytest.raises(ValueError, match="beyond 1e"):
        grade(TONE, TONE * 1e15, 69)


SHAPE = {
    "instruments": 1,
    "channels": 4,
    "dimension": 4,
    "hidden": 4,
    "layers": 1,
    "activation": "ReLU",
    "elu_alpha": 1,
}
ABOUT = {
    "cell": "keys-ReLU-STFT-flow-0",
    "profile": "quick",
    "shape": SHAPE,
    "roles": ["keys"],
    "pitches": {"keys": [50, 60]},
    "notes": {"keys": [[50, 100], [56, 25], [60, 100]]},
}


def tiny():
    """Return tensors and description of a model as small as can be."""
    torch.manual_seed(0)
    return weights.build(SHAPE).state_dict(), copy.deepcopy(ABOUT)


def keep(folder, tensors, about, name="sing.safetensors"):
    file = folder / name
    text = about if isinstance(about, str) else json.dumps(about)
    save_file(tensors, file, {} if about is None else {"about": text})
    return file


@pytest.fixture
def model_file(tmp_path):
    return keep(tmp_path, *tiny())


def said(*arguments, **options):
    """Run the command line; return exit status, standard output and standard error."""
    done = call_singlib(*arguments, **options)
    return done.returncode, done.stdout, done.stderr


def assert_a_sentence(answer, *parts):
    """Assert that the command stopped with one line on standard error, which names what is wrong."""
    status, out, error = answer
    assert status == 1 and not out and "Traceback" not in error, error
    assert len(error.splitlines()) == 1 and all(part in error for part in parts), error


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_any_floating_dtype_play(tmp_path, dtype):
    tensors, about = tiny()
    full = load_model(keep(tmp_path, tensors, about)).generate([Label("keys", 60, 100)])
    other = load_model(keep(tmp_path, {name: tensor.to(dtype) for name, tensor in tensors.items()}, about))
    assert {tensor.dtype for tensor in other.sing.state_dict().values()} == {torch.float32}
    assert np.abs(other.generate([Label("keys", 60, 100)]) - full).max() < 0.02 * np.abs(full).max()


def changed(**with_these):
    """Return a change of the description."""
    return lambda tensors, about: about.update(with_these)


def reshaped(**sizes):
    return lambda tensors, about: about["shape"].update(sizes)


DAMAGED = {
    "without pitches": (lambda tensors, about: about.pop("pitches"), "lacks pitches"),
    "without roles and shape": (lambda tensors, about: (about.pop("roles"), about.pop("shape")), "lacks shape, roles"),
    "a shape that is a list": (changed(shape=[1, 2]), "has shape"),
    "a size too few": (lambda tensors, about: about["shape"].pop("hidden"), "has shape"),
    "a size in words": (reshaped(hidden="four"), "has shape"),
    "a size of true": (reshaped(layers=True), "has shape"),
    "a size beyond all memory": (reshaped(channels=10**15), "has shape"),
    "a size for a larger machine": (reshaped(channels=10**6), "has shape \\(4"),
    "more layers than tensors": (reshaped(layers=10**6), "too few for 1000000 layers"),
    "another size": (reshaped(hidden=8), "its description says"),
    "an activation of nobody": (reshaped(activation="Sine"), "has shape"),
    "an activation that is a list": (reshaped(activation=["ReLU"]), "has shape"),
    "an elu_alpha that is no number": (reshaped(elu_alpha=float("nan")), "has shape"),
    "roles that are one text": (changed(roles="keys"), "has roles 'keys'"),
    "a role twice": (changed(roles=["keys", "keys"]), "has roles"),
    "a role out of the folder": (changed(roles=["../keys"]), "has roles"),
    "a role that is a list": (changed(roles=[["keys"]]), "has roles"),
    "pitches of another role": (changed(pitches={"voice": [50, 60]}), "has pitches"),
    "pitches the wrong way round": (changed(pitches={"keys": [60, 50]}), "has pitches"),
    "pitches in words": (changed(pitches={"keys": ["50", "60"]}), "has pitches"),
    "no notes": (changed(notes={"keys": []}), "has notes"),
    "notes that are pitches": (changed(notes={"keys": [50, 60]}), "has notes"),
    "notes that are null": (changed(notes=None), "has notes"),
    "a profile that is a list": (changed(profile=["quick"]), "has profile"),
    "a tensor too few": (lambda tensors, about: tensors.pop("sequence.linear.bias"), "sequence.linear.bias is missing"),
    "a tensor too many": (
        lambda tensors, about: tensors.update(more=torch.zeros(2)),
        "more is no tensor of the network",
    ),
    "a tensor of whole numbers": (
        lambda tensors, about: tensors.update({"sequence.linear.bias": torch.zeros(4, dtype=torch.int32)}),
        "sequence.linear.bias is of torch.int32",
    ),
    "a tensor of another shape": (
        lambda tensors, about: tensors.update({"sequence.linear.bias": torch.zeros(5)}),
        r"sequence.linear.bias has shape \(5,\)",
    ),
    "a weight that is no number": (
        lambda tensors, about: tensors["sequence.linear.bias"].fill_(float("nan")),
        "not finite in sequence.linear.bias",
    ),
    "a weight that is infinite": (
        lambda tensors, about: tensors["sequence.linear.bias"].fill_(float("inf")),
        "not finite in sequence.linear.bias",
    ),
    "a weight beyond float32": (
        lambda tensors, about: tensors.update({"sequence.linear.bias": torch.full((4,), 1e300, dtype=torch.float64)}),
        "not finite in sequence.linear.bias",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, damage):
    tensors, about = tiny()
    damaging, message = DAMAGED[damage]
    damaging(tensors, about)
    file = keep(tmp_path, tensors, about)
    with pytest.raises(ValueError, match=message) as refused:
        load_model(file)
    assert str(refused.value).startswith(str(file)) and len(str(refused.value)) < len(str(file)) + 300


@pytest.mark.parametrize("about", [None, "half {", "[1]", "null", "[" * 100_000])
def test_weights_that_say_nothing_of_use_are_refused(tmp_path, about):
    with pytest.raises(ValueError, match=r"sing\.safetensors holds no model of singlib"):
        load_model(keep(tmp_path, tiny()[0], about))


def test_what_is_no_weights_file_is_named(tmp_path):
    empty, text = tmp_path / "empty.safetensors", tmp_path / "README.md"
    empty.touch()
    text.write_text("# A model\n")
    for file in (empty, text):
        with pytest.raises(ValueError, match=f"^{file} holds no model of singlib"):
            load_model(file)
    with pytest.raises(ValueError, match=f"^{tmp_path} holds no model: neither sing.safetensors nor model.safetensors"):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        weights.read(tmp_path / "nowhere")


def test_the_command_refuses_weights_in_a_sentence(tmp_path):
    tensors, about = tiny()
    tensors["decoder.0.weight"][0] = float("nan")
    file = keep(tmp_path, tensors, about)
    out = tmp_path / "notes"
    assert_a_sentence(said("generate", "--model", str(file), "--out", str(out)), str(file), "decoder.0.weight")
    assert not out.exists()


def test_a_waveform_that_is_not_finite_is_not_written(tmp_path):
    labels = [Label("keys", 60, 100), Label("keys", 61, 100)]
    for bad in (np.nan, np.inf):
        sounds = np.stack([TONE, np.where(TONE > 0.9, bad, TONE)])
        with pytest.raises(ValueError, match="keys-061-100 has samples that are not finite"):
            write_notes(tmp_path / "notes", labels, sounds)
    with pytest.raises(ValueError, match="keys-060-100 is given twice"):
        write_notes(tmp_path / "notes", labels[:1] * 2, sounds)
    assert not (tmp_path / "notes").exists()


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(path, content):
        with path.open("wb") as file:
            file.write(bytes(content)[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    for suffix in generation.FORMATS:
        with pytest.raises(OSError, match=f"keys-060-100.{suffix} cannot be written .No space left on device"):
            write_notes(tmp_path, [Label("keys", 60, 100)], TONE[None], suffix)
    assert not list(tmp_path.iterdir())


def test_the_command_on_a_full_disk_says_so(model_file, tmp_path):
    """The kernel lets no file grow beyond 100 kB, which is less than a note has."""
    out = tmp_path / "notes"
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = run_singlib("generate", "--model", str(model_file), "--out", str(out), **small, **pipes)
    out_and_errors = done.communicate()
    assert_a_sentence((done.returncode, *out_and_errors), f"{out}/keys-060-100.wav cannot be written", "File too large")
    assert not list(out.iterdir())


def test_a_note_asked_for_twice_is_written_once_and_counted_once(model_file, tmp_path):
    wanted = ("--pitch", "50,50,50,60", "--velocity", "100,100", "--out", str(tmp_path / "notes"))
    assert said("generate", "--model", str(model_file), *wanted)[:2] == (0, f"wrote 2 notes to {tmp_path / 'notes'}\n")
    assert len(list((tmp_path / "notes").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no note"),
        ("# only a remark\n\n", "names no note"),
        ("keys-060-100\n\nkeys-060-100\n", "line 3: keys-060-100 is in line 1 already"),
        ("keys-060-100\nkeys-60-100\n", "line 2: keys-060-100 is in line 1 already"),
        ("keys-060-100\nharp-060-100\n", "line 2: unknown instrument 'harp'"),
        ("keys-060-099\n", "line 1: unknown velocity 99"),
        ("keys-200-100\n", "line 1: pitch 200 is no MIDI pitch"),
        ("keys-012-100\n", "line 1: pitch 12 of keys is outside the trained 50 to 60"),
        ("\nkeys-055-100\n", "line 2: pitch 55 of keys was never trained: the nearest that were are 50 and 56"),
        (f"keys-{'9' * 5000}-100\n", "line 1: .* is not a note"),
        ("keys-060-100\0\n", "line 1: .* is not a note"),
        (b"keys-060-100\xff\n", "is not a list of names"),
    ],
)
def test_a_fault_in_a_list_of_names_is_named_with_its_line(tmp_path, model_file, text, message):
    file = tmp_path / "notes.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"^{file}.*{message}"):
        generation.read_labels(file, load_model(model_file).check)


def test_lists_of_names_from_elsewhere_are_read(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_bytes(b"\xef\xbb\xbfkeys-060-100 \r\nkeys-061-100\r\n")  # as Windows writes them
    assert generation.read_labels(file) == [Label("keys", 60, 100), Label("keys", 61, 100)]
    with pytest.raises(ValueError, match=f"{tmp_path} is not a list of names"):
        generation.read_labels(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        generation.read_labels(tmp_path / "nowhere.txt")


def test_the_command_refuses_an_empty_list_and_a_list_beside_pitches(model_file, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("# none\n")
    model = ("generate", "--model", str(model_file), "--out", str(tmp_path / "notes"), "--notes", str(file))
    assert_a_sentence(said(*model), f"{file} names no note")
    assert_a_sentence(said(*model, "--pitch", "60"), f"{file} names the notes", "--pitch")


NOTE = "fluidr3_tuba-041-050"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Make a data set of one brass instrument that a test may spoil."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    yield brass(tmp_path)


def brass(root):
    folder, entries = root / "data" / "mini", {}
    (folder / "audio").mkdir(parents=True)
    for pitch, velocity in ((41, 50), (41, 100), (53, 50)):
        name = f"fluidr3_tuba-{pitch:03d}-{velocity:03d}"
        entries[name] = {"instrument_str": "fluidr3_tuba", "pitch": pitch, "velocity": velocity}
        soundfile.write(folder / "audio" / f"{name}.wav", TONE / 2, 16_000, "PCM_16")
    (folder / "examples.json").write_text(json.dumps(entries))
    return folder


def spoil(folder, change):
    """Change what examples.json says."""
    entries = json.loads((folder / "examples.json").read_text())
    (folder / "examples.json").write_text(json.dumps(change(entries)))


SPOILT = {
    "a list": (lambda entries: list(entries.values()), "is a list, not a dictionary"),
    "a text": (lambda entries: "notes", "is a str, not a dictionary"),
    "null": (lambda entries: None, "is a NoneType, not a dictionary"),
    "a note that is text": (lambda entries: entries | {NOTE: "low"}, f"{NOTE} is 'low', not a dictionary"),
    "a note that is null": (lambda entries: entries | {NOTE: None}, f"{NOTE} is None, not a dictionary"),
    "a note that is a list": (lambda entries: entries | {NOTE: [41, 50]}, f"{NOTE} is .41, 50., not a dictionary"),
    **{
        f"{key} {value!r}": (
            lambda entries, key=key, value=value: entries | {NOTE: entries[NOTE] | {key: value}},
            f"{NOTE} has {key} .*; it should be a {'text' if key == 'instrument_str' else 'whole number'}",
        )
        for key, values in {
            "pitch": (41.0, 60.5, "41", True, None, [41], {}),
            "velocity": (50.0, "50", True, None, [50]),
            "instrument_str": (7, None, ["fluidr3_tuba"], {}, True),
        }.items()
        for value in values
    },
    "another pitch than its name": (
        lambda entries: entries | {NOTE: entries[NOTE] | {"pitch": 42}},
        f"{NOTE} is said to be fluidr3_tuba-042-050",
    ),
    "another velocity than its name": (
        lambda entries: entries | {NOTE: entries[NOTE] | {"velocity": 25}},
        f"{NOTE} is said to be fluidr3_tuba-041-025",
    ),
    "another instrument than its name": (
        lambda entries: entries | {NOTE: entries[NOTE] | {"instrument_str": "fluidr3_banjo"}},
        f"{NOTE} is said to be fluidr3_banjo-041-050",
    ),
    "a name of two lines": (lambda entries: entries | {"a\n": None}, r"'a\\n' is None, not a dictionary"),
    "an instrument of two lines": (
        lambda entries: entries | {NOTE: entries[NOTE] | {"instrument_str": "a\n"}},
        rf"{NOTE} is said to be 'a\\n-041-050'",
    ),
    "one label under two names": (
        lambda entries: entries | {"copy": entries[NOTE]},
        f"copy is said to be {NOTE}",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_metadata_that_are_not_nsynths_are_named(data, what):
    change, message = SPOILT[what]
    spoil(data, change)
    with pytest.raises(ValueError, match=f"^{data}/examples.json.*{message}"):
        nsynth.index("mini")


def test_one_name_twice_in_the_metadata_is_named(data):
    """As text, since no dictionary can hold it; json would keep the last one."""
    text = (data / "examples.json").read_text()
    entry = json.dumps({NOTE: {"instrument_str": "fluidr3_tuba", "pitch": 41, "velocity": 50}})[1:-1]
    (data / "examples.json").write_text(f"{text[:-1]}, {entry}}}")
    with pytest.raises(ValueError, match=f"examples.json .*'{NOTE}' twice"):
        nsynth.index("mini")


@pytest.mark.parametrize("content", [b"", b'{"half', b"\xff\xfe{}", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_metadata_that_are_no_json_are_named(data, content):
    (data / "examples.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"examples\.json is not a JSON of notes"):
        nsynth.index("mini")


def test_a_sound_that_says_it_is_endless_is_named_without_being_read(tmp_path):
    """A FLAC's header says how many samples it has; room for these would be asked for at once."""
    file = tmp_path / f"{NOTE}.flac"
    soundfile.write(file, TONE / 2, 16_000, "PCM_16")
    content = bytearray(file.read_bytes())
    content[21] |= 0x0F  # the highest of 36 bits: 64 billion samples
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{NOTE}.flac (has .* samples|cannot be decoded)"):
        nsynth.read_waveform(file)


@pytest.mark.filterwarnings("error")
def test_a_sound_whose_header_leads_nowhere_is_named_without_a_traceback_of_its_own(tmp_path):
    """What goes wrong inside the decoder would be printed as it is: of an AIFF of a wrong size, cut off, at least."""
    file = tmp_path / f"{NOTE}.wav"
    for kind in ("WAV", "FLAC", "AIFF"):
        whole = encoded(0, kind=kind)
        for at in range(len(whole)):
            for end in (28, 35, 42):
                file.write_bytes((whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])[:end])
                with contextlib.suppress(ValueError):
                    audio.read_waveform(file)


def test_a_full_disk_under_the_cache_is_an_error_and_leaves_nothing(data):
    """On memory that is mapped to a file, a full disk would end the process."""
    cache = data.parent / ".cache"
    cache.mkdir()
    asked = "from singlib.nsynth import load_notes; load_notes('mini', ('brass3',))"
    small = f"mount -t tmpfs -o size=300k tmpfs {cache} || exit 77; "
    script = f'{small} "{sys.executable}" -c "{asked}"; status=$?; ls -A {cache}; exit $status'
    environment = os.environ | {"SINGLIB_ROOT": str(data.parents[1])}
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no small disk can be made here")
    assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
    assert done.stdout == "mini.lock\n"


def test_a_root_that_is_not_there_is_named(tmp_path, monkeypatch):
    nowhere = tmp_path / "nowhere"
    answer = said("run", "--profile", "smoke", "--dry-run", root=nowhere)
    assert_a_sentence(said("generate", "--model", "keys", "--out", "x", root=nowhere), f"SINGLIB_ROOT is {nowhere}")
    monkeypatch.setenv("SINGLIB_ROOT", str(nowhere))
    with pytest.raises(FileNotFoundError, match=f"^SINGLIB_ROOT is {nowhere}, where there is no folder"):
        nsynth.index("mini")
    nowhere.mkdir()
    with pytest.raises(FileNotFoundError, match=f"git checkout data/mini`, or set SINGLIB_ROOT, now {nowhere}"):
        nsynth.index("mini")
    assert answer[0] in (0, 1) and "Traceback" not in answer[2]


@pytest.mark.parametrize(
    "source", ["s3://bucket/nsynth.tar.gz", "ftp://host/a", "file://host/a", "http://", "http://host:port/a"]
)
def test_a_source_that_cannot_be_read_is_refused_at_once(source):
    with pytest.raises(ValueError, match=r"cannot be read: SOURCE is http://|is not a URL"):
        download.Stream(source, pytest.fail)


def test_a_file_may_be_named_as_a_url(tmp_path):
    file = tmp_path / "an archive.tar.gz"
    file.write_bytes(b"notes")
    assert download.Stream(file.as_uri(), pytest.fail).read(99) == b"notes"
    assert download.Stream(str(file), pytest.fail).read(99) == b"notes"
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        download.Stream(f"file://{tmp_path}/nowhere", pytest.fail).read(99)


def test_the_command_refuses_a_source_in_a_sentence(tmp_path):
    for dry in ((), ("--dry-run",)):
        answer = said("data", "--split", "test", "--source", "s3://bucket/a", *dry, root=tmp_path)
        assert_a_sentence(answer, "s3://bucket/a cannot be read", "http://")


def test_the_command_refuses_damaged_notes_in_a_sentence(tmp_path):
    folder = brass(tmp_path)
    entries = json.loads((folder / "examples.json").read_text())
    (folder / "examples.json").write_text(json.dumps(entries | {NOTE: "low"}))
    assert_a_sentence(said("run", "--profile", "smoke", root=tmp_path), f"{folder}/examples.json: {NOTE} is 'low'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=4,
)
NAMES = ("fluidr3_tuba-041-050", "fluidr3_tuba-041-100", "fluidr3_tuba-053-050")


def encoded(samples=64_000, rate=16_000, channels=1, subtype="PCM_16", kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, np.full((samples, channels), 0.25), rate, subtype, format=kind)
    return file.getvalue()


@st.composite
def entry_spoilt(draw):
    """Draw a change of what examples.json says of one note."""
    name, key = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["instrument_str", "pitch", "velocity", None]))
    value = draw(JSON | st.sampled_from([41, 42, 50, 100, 127, 128, -1]))
    other = draw(st.text(max_size=30))

    def spoil_it(folder):
        try:
            entries = json.loads((folder / "examples.json").read_text())
        except ValueError:
            return  # spoilt already
        if not isinstance(entries, dict) or not isinstance(entries.get(name), dict):
            return
        if key is None:
            entries[other] = value
        else:
            entries[name][key] = value
        (folder / "examples.json").write_text(json.dumps(entries))

    return spoil_it


@st.composite
def metadata_spoilt(draw):
    """Draw another content of examples.json."""
    content = draw(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50) | st.none())
    at = draw(st.integers(0, 400))

    def spoil_it(folder):
        file = folder / "examples.json"
        file.write_bytes(file.read_bytes()[:at] if content is None else content)

    return spoil_it


@st.composite
def sound_spoilt(draw):
    """Draw another content of a note's file, or none."""
    name = draw(st.sampled_from(NAMES))
    samples = st.sampled_from([0, 1, 63_999, 64_000, 64_001, 100_000])
    whole = st.builds(
        encoded,
        samples,
        st.sampled_from([8_000, 16_000, 44_100]),
        st.integers(1, 3),
        st.sampled_from(["PCM_16", "PCM_24"]),
        st.sampled_from(["WAV", "FLAC", "AIFF"]),
    )
    content = draw(whole | st.binary(max_size=200) | st.none())
    cut, flip = draw(st.none() | st.integers(0, 1000)), draw(st.none() | st.integers(0, 60))

    def spoil_it(folder):
        file = folder / "audio" / f"{name}.wav"
        if content is None:
            file.unlink(missing_ok=True)
            return
        spoilt = bytearray(content[:cut])
        if flip is not None and flip < len(spoilt):
            spoilt[flip] ^= 0xFF
        file.write_bytes(spoilt)

    return spoil_it


def files_of(folder):
    """Return the content of all files of a data folder."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def read_damaged_notes(damages):
    """Read a damaged data folder in every way that a command does: it works, or a sentence names the file."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINGLIB_ROOT", str(Path(root)))
        folder = brass(Path(root))
        for damage in damages:
            damage(folder)
        before = files_of(folder)
        for ask in (
            lambda: nsynth.load_notes("mini", ("brass3",)),
            lambda: nsynth.digest("mini", ("brass3",)),
            lambda: selection.notes_to_generate("mini", "brass3"),
            lambda: tables.instruments("mini"),
        ):
            try:
                ask()
            except (ValueError, FileNotFoundError) as error:
                assert str(folder) in str(error) or "data/mini holds no note of" in str(error), repr(error)
                assert len(str(error)) < 600 and "\n" not in str(error).strip()
        assert files_of(folder) == before


FOLDERS = st.lists(entry_spoilt() | metadata_spoilt() | sound_spoilt(), min_size=1, max_size=3)
GOOD = st.builds(
    "{}-{:03d}-{:03d}".format, st.sampled_from(["keys", "brass1"]), st.integers(0, 130), st.integers(0, 130)
)
LINES = GOOD | st.sampled_from(["keys-060-100", "keys-050-100", "", "# low"]) | st.text(max_size=15)
LISTS = st.lists(LINES, max_size=5).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


def read_damaged_list(model, content):
    """Read a damaged list of names: its notes can be played, or a sentence names the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "notes.txt"
        file.write_bytes(content)
        try:
            labels = generation.read_labels(file, model.check)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith(str(file)), repr(error)
        else:
            assert len(set(labels)) == len(labels) > 0
            assert all(model.trained(label) in ("note", "pitch") for label in labels)
        assert file.read_bytes() == content


# None is too slow on a busy machine. Those of every day are always the same ones.
USUAL = settings(max_examples=25, deadline=None, database=None, derandomize=True)
MANY = settings(max_examples=500, deadline=None, database=None)


@USUAL
@given(FOLDERS)
def test_a_damaged_data_folder_is_named_and_left_as_it_is(damages):
    read_damaged_notes(damages)


@USUAL
@given(LISTS | st.binary(max_size=60))
def test_a_damaged_list_is_named_and_left_as_it_is(content):
    read_damaged_list(generation.Model(None, ABOUT), content)


@pytest.mark.slow
@MANY
@given(FOLDERS)
def test_many_damaged_data_folders(damages):
    read_damaged_notes(damages)


@pytest.mark.slow
@MANY
@given(LISTS | st.binary(max_size=60))
def test_many_damaged_lists(content):
    read_damaged_list(generation.Model(None, ABOUT), content)
