"""One run of a grid in a process of its own: ``fit``, then ``test`` and ``predict``, each where it is not done yet."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from research.files import write_whole

WRITES = {"fit": "fit.json", "validate": "validation.json", "test": "test.json", "predict": "predictions.jsonl"}
RECORD, UNTIDY = "record.json", ".record.json"  # the record of a run, and of one whose weights may still be there
ALONE = ["--trainer.devices", "1", "--trainer.num_nodes", "1", "--trainer.strategy", "auto"]


@dataclass
class Job:
    """What is run, and where.

    Args:
        key: a digest of all that decides its figures.
        folder: of the run; ``record.json`` is the last that is written there.
        options: of ``fit``, ``test`` and ``predict``.
        stages: what follows the fit.
        keep: its checkpoint is wanted too.
        known: its record, where the grid's results have it already; then its folder need not be there.
    """

    key: str
    folder: Path
    options: list[str]
    stages: tuple[str, ...]
    keep: bool
    known: dict[str, Any] | None = None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def done(self) -> bool:
        return self.has(RECORD) or (self.known is not None and not self.keep)

    def has(self, record: str) -> bool:
        """Whether all is there that is wanted, with the record under this name."""
        written = (self.folder / name for name in (record, *(WRITES[stage] for stage in self.stages)))
        return all(path.is_file() for path in written) and (self.checkpoint.is_file() or not self.keep)

    def record(self) -> dict[str, Any]:
        if self.known is not None and not self.has(RECORD):
            return self.known
        record: dict[str, Any] = json.loads((self.folder / RECORD).read_text())
        return record

    def forget(self) -> None:
        """Delete its weights."""
        shutil.rmtree(self.checkpoint.parent, ignore_errors=True)

    def log(self, lines: int = 15) -> str:
        """The end of what the run said."""
        try:
            text = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "it ended before it said anything"
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def work(job: Job, cores: list[int]) -> None:
    """Run what is missing of the job on these cores; exits with the status of what failed.

    Another process that has the job in hand, such as one whose parent was killed, is waited for.
    """
    from filelock import FileLock

    stop_with_parent()
    job.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(job.folder / ".lock"):
        if not job.done:
            log = os.open(job.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            share(cores)
            if status := run(job):
                sys.exit(status)


def run(job: Job) -> int:
    """Run in this process what is missing of the job; returns the status of what failed.

    Its weights are deleted before it counts as done, so that a kill in between leaves none behind.
    """
    from research.run import CHOSEN

    if not job.has(UNTIDY):
        with environment({CHOSEN: str(job.folder), "HYBRID_TRACEBACK": "1"}):
            if status := run_stages(job):
                return status
    if not job.keep:
        job.forget()
    os.replace(job.folder / UNTIDY, job.folder / RECORD)
    return 0


def run_stages(job: Job) -> int:
    """Run what is missing of fit, test and predict, and write the record; returns the status of what failed."""
    import torch

    from research.ablation.running.record import record
    from research.terminal import run_command

    since = time.monotonic()
    options = [*job.options, "--run.folder", str(job.folder.parent), "--run.name", job.key]
    options += ["--trainer.enable_progress_bar", "false"]
    there = job.checkpoint.exists()
    for stage in ("fit", *job.stages):
        if there and (job.folder / WRITES[stage]).exists():
            continue
        more = ["--ckpt_path", str(job.checkpoint)] if job.checkpoint.exists() else []
        if status := run_command([stage, *options, *more, *(ALONE if stage != "fit" else [])]):
            return status
        if torch.distributed.is_initialized():  # by a fit in several processes, whose others have ended
            torch.distributed.destroy_process_group()
    made = record(job.folder)
    made["cost"]["total_seconds"] = time.monotonic() - since
    write_whole(job.folder / UNTIDY, json.dumps(made))
    return 0


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables for a while, and then those that were there before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def stopped(status: int) -> bool:
    """Whether a signal has ended the process with this status, or had it save itself."""
    return status < 0 or status > 128


def share(cores: list[int]) -> None:
    """Keep to these cores, and use as many threads."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(min(torch.get_num_threads(), len(cores)))


def stop_with_parent() -> None:
    """A run saves itself and stops when the process that started it is gone, however that ended."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
