"""The bar of a grid that runs: how much is done, when it will end, and which cells are trained now."""

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dask.distributed import Future, as_completed
from tqdm.auto import tqdm

from .. import nsynth
from ..files import held
from .run_folder import Run
from .status import epochs_made

EVERY, EVERY_IN_A_FILE = 2.0, 30.0  # seconds between two looks at what the cells leave on disk


class Bar(tqdm):
    """A bar over runs that are to be trained, by the notes that each has to hear in all its epochs.

    A resumed run counts from its checkpoint on. Which runs are trained is read from their locks, as `status` does, so
    that workers may be anywhere.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.left = {run.cell.name: run for run in runs}
        self.cells, self.begun = len(runs), time.monotonic()
        self.work = {run.cell.name: self._notes(run) for run in runs}
        self.kept = {name: self._trained(name) for name in self.left}  # by earlier commands
        total = sum(self.work[name] - self.kept[name] for name in self.left)
        super().__init__(total=total, bar_format="{percentage:3.0f}%|{bar:20}| {desc}", dynamic_ncols=True)
        self.look()

    def follow(self, futures: Sequence[Future]) -> Iterator[Future]:
        """Yield futures as they end, and keep the bar up to date meanwhile."""
        ended = as_completed(futures)
        while not ended.is_empty():
            if ended.has_ready():
                yield next(ended)
            else:
                self.look()
                wake = time.monotonic() + (EVERY if sys.stderr.isatty() else EVERY_IN_A_FILE)
                while not ended.has_ready() and time.monotonic() < wake:
                    time.sleep(0.1)

    def end(self, name: str) -> None:
        """Count a run, done or failed."""
        del self.left[name]
        self.look()

    def look(self) -> None:
        """Read what the runs left on disk, and show it."""
        running = [name for name, run in self.left.items() if held(run.lock)]
        part = sum(self._trained(name) - self.kept[name] for name in running)
        self.n = self.total - sum(self.work[name] - self.kept[name] for name in self.left) + max(0.0, part)
        words = [f"{self.cells - len(self.left)} of {self.cells} cells"]
        if self.left and self.n:
            seconds = (time.monotonic() - self.begun) * (self.total - self.n) / self.n
            words.append(f"done about {_clock(datetime.now() + timedelta(seconds=seconds))}")
        if running:
            words.append(f"training {' and '.join(running)}" if len(running) < 4 else f"training {len(running)}")
        self.set_description_str(", ".join(words))

    def _trained(self, name: str) -> float:
        made, of = epochs_made(self.left[name])
        return self.work[name] * made / of

    @staticmethod
    def _notes(run: Run) -> float:
        return float(sum(run.profile.epochs) * len(nsynth.select(run.profile.data, run.cell.roles)))


def _clock(when: datetime) -> str:
    return f"{when:%H:%M}" if when.date() == datetime.now().date() else f"{when:%a %d %b, %H:%M}"
