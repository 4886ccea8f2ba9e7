"""Archives in NSynth's layout, whole or spoilt, and a server that hands them out, well or badly."""

import gzip
import io
import json
import tarfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile

from singlib.nsynth import ROLES

WANTED = [
    f"{name}-{pitch:03d}-{velocity:03d}"
    for name in ROLES["nsynth-test"].values()
    for pitch, velocity in ((60, 100), (62, 25))
]
OTHERS = [
    "bass_synthetic_009-014-025",
    "keyboard_acoustic_0040-060-100",
    "brass_acoustic_046-084-100",
]  # the last is noise


@cache
def wav(name, shape=64_000, rate=16_000, subtype="PCM_16", level=0.1):
    """Return the bytes of a note: its pitch over a little noise."""
    pitch = int(name.split("-")[1]) if name.count("-") == 2 else 60
    time_axis = np.arange(shape if isinstance(shape, int) else shape[0]) / 16_000
    waveform = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_axis) * np.exp(-time_axis)
    waveform = level * (waveform + 0.1 * np.random.default_rng(pitch).standard_normal(len(waveform)))
    file = io.BytesIO()
    soundfile.write(
        file, waveform if isinstance(shape, int) else np.stack([waveform] * shape[1], 1), rate, subtype, format="WAV"
    )
    return file.getvalue()


def about(name):
    """Return what examples.json says of a note."""
    instrument, pitch, velocity = name.rsplit("-", 2)
    return {
        "note_str": name,
        "instrument_str": instrument,
        "pitch": int(pitch),
        "velocity": int(velocity),
        "sample_rate": 16_000,
    }


def members(names=(*OTHERS[:1], *WANTED, *OTHERS[1:]), split="test"):
    """Return the content of a whole archive, in order, metadata last."""
    content = {f"nsynth-{split}/audio/{name}.wav": wav(name) for name in names}
    return content | {f"nsynth-{split}/examples.json": json.dumps({name: about(name) for name in names}).encode()}


def tar(content, special=()):
    """Pack a dictionary of files behind members that should not be there."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info in special:
            archive.addfile(info)
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def packed(content, special=()):
    return gzip.compress(tar(content, special), 1, mtime=0)


@contextmanager
def served(body, behave=None):
    """Serve some bytes; `behave(handler, attempt)` returns the bytes to send, or does all itself and returns None."""
    attempts = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            attempts.append(self.headers.get("Range"))
            try:
                if behave:
                    behave(self, len(attempts))
                else:
                    self.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client hung up
            self.close_connection = True

        def begin(self, code=200, **headers):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()

        def send(self, data, ranges=True, upto=None, tag='"1"', **headers):
            """Send a file as a server does; break off after `upto` bytes of it."""
            start = int(self.headers["Range"][6:-1]) if ranges and self.headers.get("Range") else 0
            if start >= len(data) and start:
                return self.begin(416)
            about_it = {"Content_Length": len(data) - start, "ETag": tag} | headers
            if start:
                about_it = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} | about_it
            self.begin(206 if start else 200, **about_it)
            self.wfile.write(data[start:upto])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        server.attempts = attempts
        server.url = f"http://127.0.0.1:{server.server_port}/nsynth-test.jsonwav.tar.gz"
        yield server
    finally:
        server.shutdown()
        server.server_close()


def stall(handler, seconds):
    """Send nothing for a while."""
    handler.wfile.flush()
    time.sleep(seconds)
