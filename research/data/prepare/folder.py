"""The folder of a prepared corpus: which run it belongs to, who works in it, and what is written there."""

import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import IO, Any

import multiprocess

from research.errors import UserError
from research.files import write_whole

log = logging.getLogger(__name__)

held: list[IO[Any]] = []  # the lock of a worker process, until it ends


class Folder:
    """`data/` holds the corpus once it is whole, `dropped/` what each step dropped, `logs/` what datatrove tells.

    `work/` is what stages hand on; it is gone when `data/` is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.data, self.dropped, self.logs, self.work = (path / n for n in ("data", "dropped", "logs", "work"))
        self.settings, self.report = path / "settings.json", path / "report.json"

    def check(self, settings: dict[str, str]) -> None:
        """Raise a `UserError` if the folder belongs to a run with other settings, or holds other things."""
        if self.settings.exists():
            before = json.loads(self.settings.read_text(encoding="utf-8"))
            changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
            if changed:
                told = f"folder: {self.path} holds a run with other {', '.join(changed)}"
                raise UserError(f"{told}; name another folder, or remove this one")
        elif self.path.exists() and any(path.name != ".lock" for path in self.path.iterdir()):
            raise UserError(f"folder: {self.path} is not empty, and no folder of an earlier run; name another")

    def claim(self, settings: dict[str, str]) -> None:
        """Check the folder, and say that it belongs to the run with these settings, each given as a digest."""
        self.check(settings)
        if not self.settings.exists():
            write_whole(self.settings, json.dumps(settings, indent=2))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time. Workers that a killed run left behind count as a run until their task is done.

        The locks are POSIX ones, which a process does not inherit: datatrove's own helpers may outlive a killed run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("%s is in use by another run, or by workers of one that was killed: waiting", self.path)
                fcntl.lockf(lock, fcntl.LOCK_EX)
            fcntl.lockf(lock, fcntl.LOCK_SH)  # shared with the workers of this run
            yield

    @contextmanager
    def console(self) -> Iterator[None]:
        """What this process and those it starts write to stderr goes to `logs/console.log`: datatrove tells much."""
        self.logs.mkdir(parents=True, exist_ok=True)
        sys.stderr.flush()
        stderr = os.dup(2)
        with (self.logs / "console.log").open("a") as console:
            try:
                os.dup2(console.fileno(), 2)
                with redirect_stderr(console):
                    yield
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)


def occupy(path: Path, data: None, rank: int, world_size: int) -> None:
    """The first step of every pipeline: a worker process keeps the folder locked until it ends."""
    if multiprocess.parent_process() is not None and not held:
        with suppress(OSError):  # a file system without locks
            held.append((path / ".lock").open("a+"))
            fcntl.lockf(held[0], fcntl.LOCK_SH)
