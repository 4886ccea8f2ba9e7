"""Kernels for papermill, forked from one process that has loaded and built what each would again (`singlib.runs.warm`).

Each kernel is a process of its own, and is killed alone. The process that they are forked from belongs to the runner or
worker that asks for them: it ends with that, and the kernels end with it.
"""

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from threading import Lock
from typing import Any

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

# A user's own matplotlibrc would change the figures. CUDA fails after a fork if it was asked for its devices before:
# should a part of PyTorch ask, it is to look another way.
SETTINGS = {"MATPLOTLIBRC": os.devnull, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


class Kernels(AsyncKernelManager):
    """A manager of a kernel of this Python, whatever is installed as "python3"."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.kernel_id = str(uuid.uuid4())
        self.provisioner = _Forked(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The specification of this Python."""
        return KernelSpec(**get_kernel_dict() | {"env": SETTINGS})


class _Forked(LocalProvisioner):
    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        self.process = _Kernel(cmd[cmd.index("-f") :], kwargs["env"], kwargs.get("cwd") or os.getcwd())
        self.pid = self.process.pid
        return self.connection_info


class _Source:
    """The process that kernels are forked from, started when it is first asked, and again if it was killed."""

    def __init__(self) -> None:
        self.lock, self.process = Lock(), None

    def ask(self, **request: Any) -> Any:
        """Send a request to `singlib.runs.warm.serve` and return its reply.

        RuntimeError if that process was killed meanwhile, OSError if it could not begin.
        """
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                command = [sys.executable, "-m", "singlib.runs.warm"]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                # In a session of its own: an interrupt from the keyboard is for this process, which then ends that one.
                self.process = subprocess.Popen(command, env=os.environ | SETTINGS, start_new_session=True, **pipes)
            with suppress(BrokenPipeError):  # it has ended, and may have said why
                print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
            if not line.endswith("\n"):
                raise RuntimeError("the process that kernels are forked from was killed")
            reply = json.loads(line)
            if isinstance(reply, dict):
                raise OSError(f"no kernel can be started: {reply['error']}")
            return reply


_source = _Source()


class _Kernel:
    """A forked kernel, with what jupyter_client calls of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: str) -> None:
        self.pid = _source.ask(arguments=arguments, environment=environment, folder=folder)
        self.parent = _source.process
        self.code = None

    def poll(self) -> int | None:
        if self.code is None:
            try:
                alive = self.parent is _source.process and self.parent.poll() is None
                self.code = _source.ask(wait=self.pid) if alive else -9
            except RuntimeError:
                self.code = -9  # it ends with its parent
        return self.code

    wait = poll  # jupyter_client waits by polling

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)

    def terminate(self) -> None:
        self.send_signal(15)
