"""One run of the real program, begun anew by the same command after each fault, beside one that is left alone."""

import csv
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from research.checkpoints import LAST, PREVIOUS
from research.checkpoints.shards import consolidated, described
from research.evaluation.rows import rows_of
from research.run import Run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SMALL = 200_000  # bytes
PATIENCE = 600.0  # seconds for a start, or an end, on however busy a machine
PAUSE = 3.0  # seconds that a slow stream gives nothing
CLOCKED = ("tokens_per_second", "waiting_for_data", "peak_memory_gb")  # figures that no two runs share


@dataclass
class Trial:
    """A family in a mode of the mixture, on so many processes; ``folder`` takes its runs.

    With ``torchrun`` the disturbed run is begun anew by torchrun after each fault but a SIGTERM, which ends that too.
    ``more`` are settings of the command line. Whatever they say, the run left alone is without W&B, and writes its
    checkpoints at once.
    """

    family: str
    mode: str
    processes: int
    folder: Path
    steps: int = 84
    workers: int = 0
    torchrun: bool = False
    more: Sequence[str] = ()
    streamed: bool = False
    found: list[dict[str, Any]] = field(default_factory=list)

    def leave_alone(self) -> None:
        with self.running("alone", "--run.wandb", "disabled", "--run.checkpoint_async", "false") as process:
            finish(process)

    def disturb(self, faults: Sequence[str], seed: int) -> bool:
        """Let the faults come one after the other, each at a random step of its part; whether the end is the same."""
        rng = random.Random(seed)
        part = self.steps // (len(faults) + 1)
        steps = [i * part + rng.randint(1, part) for i in range(len(faults))]
        due = list(zip(faults, steps, strict=True))
        ended = True
        while ended:
            with self.running("disturbed", restarts=len(faults) if self.torchrun else 0) as process:
                ended = False
                while due and not ended:
                    ended = self._strike(process, *due.pop(0), rng)
                if not ended:
                    finish(process)
        return self.same()

    def same(self) -> bool:
        """Whether each logged loss, and each last weight and moment, is that of the run left alone."""
        (rows, weights), (others, theirs) = self._end("alone"), self._end("disturbed")
        return rows == others and weights.keys() == theirs.keys() and all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name])) for name, value in weights.items()
        )  # fmt: skip

    def saved(self) -> int:
        """The step of the disturbed run's last checkpoint."""
        folder = self.newest("disturbed")
        for path in [folder / "checkpoints" / name for name in (LAST, PREVIOUS)] if folder else []:
            if path.exists():
                saved = described(path) if path.is_dir() else torch.load(path, weights_only=True)
                return int(saved["global_step"])
        return 0

    def bad_steps(self) -> dict[str, int] | None:
        """What a guard has counted in the disturbed run by its end; none if there is no guard."""
        folder = self.newest("disturbed")
        assert folder is not None
        counts: dict[str, int] | None = json.loads((folder / "fit.json").read_text()).get("bad_steps")
        return counts

    def wait_for(self, process: "subprocess.Popen[str]", step: int) -> None:
        """Until the disturbed run has logged a step."""
        until = time.monotonic() + PATIENCE
        while self._logged() < step:
            if process.poll() is not None:
                raise RuntimeError(f"ended before step {step}:\n{process.communicate()[0]}")
            if time.monotonic() > until:
                raise RuntimeError(f"did not come to step {step} in {PATIENCE:.0f} s")
            time.sleep(0.003)

    @contextmanager
    def running(self, name: str, *more: str, restarts: int = 0) -> Iterator["subprocess.Popen[str]"]:
        """The command, which goes on where the last one of this name has stopped."""
        files = [HERE / f"{part}.yaml" for part in ("base", self.family, self.mode)]
        line = [sys.executable]
        if restarts:
            line += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
            line += ["--max-restarts", str(restarts)]
        line += ["-m", "research.cli", "fit", *(part for file in files for part in ("--config", str(file)))]
        line += ["--run.folder", str(self.folder), "--run.name", name, "--trainer.max_steps", str(self.steps)]
        line += ["--data.num_workers", str(self.workers), "--data.cache", str(self.folder / "tokens")]
        line += ["--ckpt_path", "auto"]
        if self.processes > 1:
            line += ["--trainer.devices", str(self.processes), "--trainer.strategy", "ddp_find_unused_parameters_true"]
        if self.mode != "joint":  # whose epochs end at validations
            line += ["--trainer.check_val_every_n_epoch", "null"]
        if self.streamed:
            line += ["--data.streams.text.init_args.source.init_args.paths", str(self.text)]
        line += [*self.more, *more]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "OMP_NUM_THREADS": "1"}
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # else a restart under torchrun reads stale addresses
        environment.pop("HYBRID_RUN_FOLDER", None)
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
            environment["WANDB_BASE_URL"] = "http://{}:{}".format(*silent.getsockname())
            environment["WANDB_API_KEY"] = "a" * 40
            process = subprocess.Popen(
                line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    for part in (*psutil.Process(process.pid).children(recursive=True), process):
                        part.kill()

    def _strike(self, process: "subprocess.Popen[str]", fault: str, step: int, rng: random.Random) -> bool:
        """Whether the run has ended by it, and is to be begun anew."""
        self.wait_for(process, step)
        time.sleep(0.02 * rng.random())  # so that it falls anywhere within a step, its validation or its checkpoint
        main = psutil.Process(process.pid)
        others = main.children(recursive=True)
        goes_on = fault == "slow" or (self.torchrun and fault != "SIGTERM")
        at, struck = self._logged(), time.monotonic()
        if fault == "disk full":  # no file can grow further than a log does, and no checkpoint fits
            main.rlimit(psutil.RLIMIT_FSIZE, (SMALL, psutil.RLIM_INFINITY))
        elif fault == "slow":
            suspend(workers_of([main, *others]), PAUSE)
        elif fault == "torn":
            whole = self.text.read_bytes()
            self.text.write_bytes(whole[: len(whole) // 2])
        else:
            for victim, number in victims(fault, others if goes_on else [main, *others], rng):
                victim.send_signal(number)
        said = "" if goes_on else process.communicate(timeout=PATIENCE)[0]
        _, left = psutil.wait_procs([] if fault == "slow" else others, PATIENCE)
        seconds = time.monotonic() - struck
        if fault == "torn":
            self.text.write_bytes(whole)
        lost = 0 if fault == "slow" else self._logged() - self.saved()
        self.found.append(
            {
                "fault": fault,
                "at step": at,
                "steps lost": lost,
                "seconds to end": round(seconds, 2),
                "exit status": process.poll(),
                "left running": len(left),
                "said": [line for line in said.splitlines() if line.startswith(("error:", "stopped", "W&B:"))],
            }
        )
        return not goes_on

    @property
    def text(self) -> Path:
        """A file of compressed text that a run may stream, made when first asked for."""
        path = self.folder / "text.txt.gz"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress((ROOT / "tests/data/slices/wikitext.txt").read_bytes(), mtime=0))
        return path

    def newest(self, name: str) -> Path | None:
        """The newest folder of a name: a run that ended before its first checkpoint begins anew in another one."""
        versions = Run(name, str(self.folder)).versions()
        return versions[-1] if versions else None

    def _logged(self) -> int:
        """The last step in the log of the disturbed run."""
        folder = self.newest("disturbed")
        rows = rows_of(folder / "metrics.csv") if folder and (folder / "metrics.csv").exists() else []
        return int(rows[-1]["step"]) if rows else 0

    def _end(self, name: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """What was logged, without what a clock decides, and the last weights and moments."""
        folder = self.newest(name)
        assert folder is not None
        with (folder / "metrics.csv").open(newline="") as file:
            rows = [{k: v for k, v in row.items() if k not in CLOCKED} for row in csv.DictReader(file)]
        last = folder / "checkpoints" / LAST
        saved = consolidated(last, "drill") if last.is_dir() else torch.load(last, weights_only=True)
        moments = saved["optimizer_states"][0]["state"]
        return rows, saved["state_dict"] | {f"{i}.{k}": v for i, state in moments.items() for k, v in state.items()}


def victims(
    fault: str, processes: Sequence[psutil.Process], rng: random.Random
) -> list[tuple[psutil.Process, signal.Signals]]:
    """Which of a run's processes a fault strikes, and by which signal; the first is the one that was started."""
    if fault == "all":
        return [(process, signal.SIGKILL) for process in processes]
    if fault == "SIGTERM":
        return [(processes[0], signal.SIGTERM)]
    if fault == "worker":
        return [(rng.choice(workers_of(processes)), signal.SIGKILL)]
    rank = fault.removeprefix("rank ")
    of_rank = [p for p in processes if p.environ().get("LOCAL_RANK", "0") == rank]
    return [(min(of_rank, key=lambda p: p.create_time()), signal.SIGKILL)]


def workers_of(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those of the loaders, which the first one has forked: they have its command line."""
    line = processes[0].cmdline()
    return [process for process in processes[1:] if process.cmdline() == line]


def suspend(processes: Sequence[psutil.Process], seconds: float) -> None:
    for process in processes:
        process.suspend()
    time.sleep(seconds)
    for process in processes:
        process.resume()


def finish(process: "subprocess.Popen[str]") -> None:
    said = process.communicate(timeout=PATIENCE)[0]
    if process.returncode:
        raise RuntimeError(f"failed with status {process.returncode}:\n{said}")
