"""The instrument outside the notebook: onnxruntime against torch, and a song against its time on paper."""

import numpy as np
import onnxruntime
import torch

from singlib.export import song
from singlib.export.onnx_file import LABELS, write_onnx
from singlib.export.samples import trained_notes
from singlib.network import generation
from singlib.nsynth import VELOCITIES

pytest_plugins = ["ratios"]  # the fixture `compare`
BRASS = "recorded-best/brass1-3-ReLU-MRSTFT-flow-0"


def test_onnxruntime(compare, tmp_path):
    model = generation.load_model(BRASS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    file = write_onnx(generation.find(BRASS), tmp_path)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    labels = [label for role in model.roles for label in trained_notes(model, role)][:100]
    rows = [(model.roles.index(label.role), label.pitch, VELOCITIES.index(label.velocity)) for label in labels]
    parts = [dict(zip(LABELS, part.T, strict=True)) for part in np.split(np.array(rows), range(16, 100, 16))]
    compare("torch, 100 notes / onnxruntime", lambda: [session.run(None, part) for part in parts],
            lambda: model.generate(labels), ">= 1")  # fmt: skip


def test_a_song_of_200_notes(compare):
    voice = song.Voice(generation.load_model(BRASS), "brass2")
    random = np.random.default_rng(0)
    starts = np.sort(random.uniform(0, 60, 200))
    notes = [
        song.Played(
            1, int(random.integers(25, 89)), int(random.integers(1, 128)), start, start + random.uniform(0.1, 6)
        )
        for start in starts
    ]
    labels = trained_notes(*voice)  # all that the song could need, and nothing else
    compare("brass2's 84 notes / a song of 200 notes", lambda: song.play(notes, {1: voice}),
            lambda: voice.model.generate(labels), "one < 20,000 ms")  # fmt: skip
