"""Runs of a grid as one job array on SLURM by submitit: polled, found again, and requeued when they must make room."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.ablation.design.plan import Planned
from research.ablation.running.job import Job, stopped, work
from research.errors import UserError
from research.files import write_whole

if TYPE_CHECKING:
    import submitit

POLL = 2.0  # seconds between two looks at the results; SLURM itself is asked ever more rarely, at last every 10 minutes


# Seconds that SLURM may take to kill what it has sent SIGTERM. A task that ends before that counts as failed; one that
# waits for it is requeued if it was preempted.
GRACE = 900.0


class Task:
    """A run on its node, in a process of its own, which is told to save itself before the job is requeued."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self) -> int:
        cores = sorted(os.sched_getaffinity(0))
        os.environ.setdefault("OMP_NUM_THREADS", str(len(cores)))
        self.process = get_context("spawn").Process(target=work, args=(self.job, cores))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])  # SLURM sends it to all processes: the run inherits
        self.process.start()  # that it does not hear it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        self.process.join()
        status = self.process.exitcode or 0
        if status in (-signal.SIGTERM, 128 + signal.SIGTERM):
            time.sleep(GRACE)
        if stopped(status):
            sys.exit(status)  # no result: the run goes on when it is started again
        return status

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit requeues when SLURM's signal says that the time is up, or that others come first."""
        from submitit.helpers import DelayedSubmission

        self.process.terminate()
        self.process.join()
        return DelayedSubmission(Task(self.job))


class Cluster:
    """Where runs are submitted, and the file that remembers which job of SLURM has which run.

    Args:
        executor: submitit's.
    """

    def __init__(self, executor: "submitit.Executor") -> None:
        self.executor = executor
        self.memory = Path(executor.folder) / "jobs.json"

    def run(self, waiting: Iterable[Planned]) -> Iterator[tuple[Planned, int, float]]:
        """Submit what is not in SLURM's hands yet; yields each run that has ended, its exit status and its seconds.

        Who stops waiting stops no run: the same command finds them again.
        """
        import submitit

        since, held, jobs = time.monotonic(), list(waiting), list[tuple[Planned, submitit.Job[int]]]()
        while held or jobs:
            jobs += self._submitted([planned for planned in held if planned.ready])
            held = [planned for planned in held if not planned.ready]
            if not jobs:  # what is left waits for a run that failed
                yield from ((planned, 1, 0.0) for planned in held)
                return
            for planned, job in [(planned, job) for planned, job in jobs if over(job)]:
                jobs.remove((planned, job))
                yield planned, ended(planned.job, job), time.monotonic() - since
            time.sleep(POLL if jobs else 0)

    def _submitted(self, waiting: list[Planned]) -> "list[tuple[Planned, submitit.Job[int]]]":
        if not waiting:
            return []
        known = json.loads(self.memory.read_text()) if self.memory.exists() else {}
        again = {key: self.executor.job_class(self.executor.folder, known[key]) for key in known}
        alive = {key: job for key, job in again.items() if not over(job, ask=True)}
        fresh = [planned for planned in waiting if planned.job.key not in alive]
        with self.executor.batch():
            new = [self.executor.submit(Task(planned.job)) for planned in fresh]
        jobs = alive | {planned.job.key: job for planned, job in zip(fresh, new, strict=True)}
        write_whole(self.memory, json.dumps({key: job.job_id for key, job in jobs.items()}))
        return [(planned, jobs[planned.job.key]) for planned in waiting]


def slurm(folder: Path, settings: dict[str, Any]) -> Cluster:
    """SLURM with these settings of sbatch.

    Raises:
        UserError: without submitit or SLURM, or for settings that sbatch would not take.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise UserError("--slurm needs the extra: pip install 'hybrid-fine-tuning[slurm]'") from None
    settings = {name: int(s) if isinstance(s, str) and s.isdecimal() else s for name, s in settings.items()}
    if not isinstance(settings.get("time"), int):
        raise UserError("cluster.time: give the minutes that a run may take, such as --cluster.time 60")
    try:
        executor = submitit.SlurmExecutor(folder.absolute())
    except RuntimeError:
        raise UserError("--slurm: no srun on this machine; give the command where jobs are submitted") from None
    try:
        executor.update_parameters(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"cluster: {str(error).splitlines()[0]}") from None
    return Cluster(executor)


def over(job: "submitit.Job[int]", ask: bool = False) -> bool:
    """Whether SLURM is done with the job; without ``ask`` by what it said last.

    Of a preempted job it says so until the job begins again, and for ever where it is not requeued.
    """
    if not job.done(force_check=ask):
        return False
    if job.state.startswith("PREEMPTED") and not job.paths.result_pickle.exists():
        return not subprocess.run(["squeue", "--noheader", "--job", job.job_id], capture_output=True).stdout.strip()
    return True


def ended(run: Job, job: "submitit.Job[int]") -> int:
    """The exit status of a run whose job is over; where SLURM has ended it, the run's log says so."""
    import submitit

    try:
        return int(job.result())
    except (submitit.core.utils.UncompletedJobError, RuntimeError):
        run.folder.mkdir(parents=True, exist_ok=True)
        with (run.folder / "log.txt").open("a") as log:
            log.write(f"SLURM ended job {job.job_id} ({job.state}); see {job.paths.stderr}\n")
        return 1
