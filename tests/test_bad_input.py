"""Bad notes, weights and wishes are refused in a sentence that names them, before anything is lost."""

import copy
import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from conftest import run_singlib
from singlib import generation, measures, weights
from singlib.generation import load_model, write_notes
from singlib.nsynth import Label
from singlib.quality import grade

TONE = np.sin(np.arange(64_000) / 10)


@pytest.mark.parametrize("samples", [1, 1000, 1316])
def test_a_sound_too_short_for_the_ear_is_refused_before_it_kills_the_process(samples):
    """Native code would write beyond its memory; in a process of its own, since the tests would die with it."""
    asked = (
        f"import numpy as np; from singlib.quality import grade; x = np.sin(np.arange({samples}) + 1); grade(x, x, 69)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ValueError: ")
    assert f"({samples},)" in done.stderr and "1317" in done.stderr


def test_the_shortest_sound_is_compared():
    """Its memory is watched by the C library, which ends the process at a write beyond its end."""
    asked = "import numpy as np; from singlib.measures import distance, _SHORTEST as n\n"
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
    with pytest.raises(ValueError, match="not to be compared"):
        measures.distance(spoilt, TONE)
    with pytest.raises(ValueError, match="not to be compared"):
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
    done = run_singlib(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    out, error = done.communicate()
    return done.returncode, out, error


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
    for file in (empty, text, tmp_path):
        with pytest.raises(ValueError, match=f"^{file} holds no model of singlib"):
            load_model(file)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")


def test_the_command_refuses_weights_in_a_sentence(tmp_path):
    tensors, about = tiny()
    tensors["decoder.0.weight"][0] = float("nan")
    file = keep(tmp_path, tensors, about)
    out = tmp_path / "notes"
    assert_a_sentence(said("generate", "--run", str(file), "--out", str(out)), str(file), "decoder.0.weight")
    assert not out.exists()


def test_a_waveform_that_is_not_finite_is_not_written(tmp_path):
    labels = [Label("keys", 60, 100), Label("keys", 61, 100)]
    for bad in (np.nan, np.inf):
        sounds = np.stack([TONE, np.where(TONE > 0.9, bad, TONE)])
        with pytest.raises(ValueError, match="keys-061-100 has samples that are not finite"):
            write_notes(tmp_path / "notes", labels, sounds)
    with pytest.raises(ValueError, match="keys-060-100 is there twice"):
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
    answer = said("generate", "--run", str(model_file), "--out", str(out), **small)
    assert_a_sentence(answer, f"{out}/keys-060-100.wav cannot be written", "File too large")
    assert not list(out.iterdir())


def test_a_note_asked_for_twice_is_written_once_and_counted_once(model_file, tmp_path):
    wanted = ("--pitch", "50,50,50,60", "--velocity", "100,100", "--out", str(tmp_path / "notes"))
    assert said("generate", "--run", str(model_file), *wanted)[:2] == (0, f"wrote 2 notes to {tmp_path / 'notes'}\n")
    assert len(list((tmp_path / "notes").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no note"),
        ("# only a remark\n\n", "names no note"),
        ("keys-060-100\n\nkeys-060-100\n", "line 3: keys-060-100 stands in line 1 already"),
        ("keys-060-100\nkeys-60-100\n", "line 2: keys-060-100 stands in line 1 already"),
        ("keys-060-100\nharp-060-100\n", "line 2: unknown instrument 'harp'"),
        ("keys-060-099\n", "line 1: unknown velocity 99"),
        ("keys-200-100\n", "line 1: pitch 200 is no MIDI pitch"),
        ("keys-012-100\n", "line 1: pitch 12 of keys is outside the trained 50 to 60"),
        ("\nkeys-055-100\n", "line 2: pitch 55 of keys was never trained: the nearest that were are 50 and 56"),
        (f"keys-{'9' * 5000}-100\n", "line 1: .* names no note"),
        ("keys-060-100\0\n", "line 1: .* names no note"),
        (b"keys-060-100\xff\n", "is no list of names"),
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
    with pytest.raises(ValueError, match=f"{tmp_path} is no list of names"):
        generation.read_labels(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        generation.read_labels(tmp_path / "nowhere.txt")


def test_the_command_refuses_an_empty_list_and_a_list_beside_pitches(model_file, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("# none\n")
    model = ("generate", "--run", str(model_file), "--out", str(tmp_path / "notes"), "--notes", str(file))
    assert_a_sentence(said(*model), f"{file} names no note")
    assert_a_sentence(said(*model, "--pitch", "60"), f"{file} names the notes", "--pitch")
