"""One run of a grid in a process of its own: ``fit``, then ``test`` and ``predict``, each where it is not done yet."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

WRITES = {"fit": "fit.json", "test": "test.json", "predict": "predictions.jsonl"}


@dataclass(frozen=True)
class Job:
    """What is run, and where.

    Args:
        key: a digest of all that decides its figures.
        folder: of the run; ``record.json`` in it says that it is done.
        options: of ``fit``, ``test`` and ``predict``.
        stages: what follows the fit.
        keep: leave the checkpoint when it is done.
    """

    key: str
    folder: Path
    options: list[str]
    stages: tuple[str, ...]
    keep: bool

    @property
    def done(self) -> bool:
        return (self.folder / "record.json").is_file()

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / "record.json").read_text())
        return record

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
    """Run in this process what is missing of the job; returns the status of what failed."""
    from research.ablation.record import record
    from research.run import CHOSEN
    from research.terminal import run_command

    since = time.monotonic()
    os.environ |= {CHOSEN: str(job.folder), "HYBRID_TRACEBACK": "1"}
    options = [*job.options, "--run.folder", str(job.folder.parent), "--run.name", job.key]
    options += ["--trainer.enable_progress_bar", "false"]
    last = job.folder / "checkpoints" / "last.ckpt"
    missing = [stage for stage in ("fit", *job.stages) if not (job.folder / WRITES[stage]).exists()]
    if missing and not last.exists():
        missing = ["fit", *job.stages]
    for stage in missing:
        going_on = ["--ckpt_path", str(last)] if last.exists() else []
        if status := run_command([stage, *options, *going_on]):
            return status
    made = record(job.folder)
    made["cost"]["total_seconds"] = time.monotonic() - since
    work = job.folder / ".record.json"
    work.write_text(json.dumps(made))
    os.replace(work, job.folder / "record.json")
    if not job.keep:
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    return 0


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
