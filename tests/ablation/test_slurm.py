"""Runs through submitit's own SLURM executor on a cluster of one node, which lives in a folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

submitit = pytest.importorskip("submitit", reason="the extra slurm is not installed")

from research.ablation.design.grid import Arm  # noqa: E402
from research.ablation.design.plan import Planned  # noqa: E402
from research.ablation.results import Results  # noqa: E402
from research.ablation.running.job import Job, run  # noqa: E402
from research.ablation.running.slurm import Task, over, slurm  # noqa: E402
from research.callbacks.csv_log import CSVLog  # noqa: E402
from research.errors import UserError  # noqa: E402
from research.run import CHOSEN  # noqa: E402
from research.terminal import run_command  # noqa: E402

HERE = Path(__file__).parent
SETTINGS = {"time": 60, "partition": "short", "cpus_per_task": 1, "array_parallelism": 1}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The folder where the cluster keeps its state."""
    commands, state = tmp_path / "commands", tmp_path / "state"
    commands.mkdir(), state.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/little_slurm.py" {name} "$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LITTLE_SLURM", str(state))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv(CHOSEN, raising=False)
    submitit.SlurmJob.watcher.clear()
    return state


@pytest.fixture
def planned(tmp_path, slices):
    """``planned("a", 0, steps=8)``: a run of the tiny config that is in ``runs/a``."""
    text = (HERE.parent / "integration" / "tiny.yaml").read_text().replace("SLICES", str(slices))
    (tmp_path / "tiny.yaml").write_text(text)

    def planned(key, seed, steps=6, folder="runs"):
        options = ["--config", str(tmp_path / "tiny.yaml"), "--trainer.max_steps", str(steps), "--seed_everything",
                   str(seed), "--trainer.val_check_interval", "5"]  # fmt: skip
        return Planned(Arm({}, []), seed, options, Job(key, tmp_path / folder / key, options, ("test",), False))

    return planned


def terminated(job, cores):
    os.kill(os.getpid(), signal.SIGTERM)


def rows(job):
    """What the run logged, without what a clock or the allocator decides."""
    clocks = ("tokens_per_second", "peak_memory_gb", "waiting_for_data")
    return [{k: v for k, v in row.items() if k not in clocks} for row in CSVLog(job.folder).rows()]


@pytest.mark.slow
def test_preempted_run_is_requeued_and_all_give_what_they_give_here(cluster, planned, one_thread, tmp_path):
    long, short = planned("long", 1, steps=40), planned("short", 2)

    def preempt():
        """Once it trains, as SLURM does: a signal to all processes of the task."""
        deadline = time.monotonic() + 300
        while not (long.job.folder / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(int((cluster / "100_0.group").read_text()), signal.SIGUSR2)

    thread = threading.Thread(target=preempt)
    thread.start()
    ended = [(one.job.key, status) for one, status, _ in slurm(tmp_path / "submitted", SETTINGS).run([long, short])]
    thread.join()
    assert sorted(ended) == [("long", 0), ("short", 0)]
    (script,) = (p.read_text() for p in cluster.glob("*.batch"))  # one job array
    assert "--array=0-1%1" in script and "--partition=short" in script and "--time=60" in script
    logs = "".join(path.read_text() for path in (tmp_path / "submitted").glob("100_0_0_log.*"))
    assert "this job is preempted" in logs and "Requeued job 100_0" in logs
    assert "stopped by SIGTERM after step" in (long.job.folder / "log.txt").read_text()

    for one, seed, steps in ((long, 1, 40), (short, 2, 6)):
        here = planned(one.job.key, seed, steps, folder="here")
        here.job.folder.mkdir(parents=True)
        assert run(here.job) == 0
        assert rows(one.job) == rows(here.job)
        assert one.job.record()["metrics"] == here.job.record()["metrics"]


@pytest.mark.slow
def test_who_asks_again_finds_the_jobs_that_are_in_the_queue(cluster, grid_file, tmp_path):
    """The command is killed while it waits, which stops no run."""
    grid = grid_file("""\
axes: {lr: {model.optimisation.lr: [1.0e-4]}}
seeds: [3]
budget: {steps: 2}
metrics: {test/ce/accuracy: max}
cluster: {partition: short}
""")
    line = ["ablate", "--config", str(grid), "--slurm", "--cluster.time", "60"]
    first = subprocess.Popen([sys.executable, "-m", "research.cli", *line])
    submitted = tmp_path / "runs" / "question" / "slurm" / "jobs.json"
    while not submitted.exists() and first.poll() is None:
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert submitted.exists()
    assert run_command(line) == 0
    (done,) = Results.read(grid.parent / "results.jsonl").runs
    assert done["status"] == "done" and "test/ce/accuracy" in done["metrics"]
    (script,) = cluster.glob("*.batch")
    assert "--time=60" in script.read_text()


def test_job_that_slurm_has_ended_is_a_failed_run_whose_log_says_so(cluster, planned, tmp_path, monkeypatch):
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)
    one = planned("one", 1)
    (tmp_path / "commands" / "srun").write_text("#!/bin/sh\nexit 137\n")
    assert [status for _, status, _ in slurm(tmp_path / "submitted", SETTINGS).run([one])] == [1]
    assert "SLURM ended job 100 (FAILED); see " in one.job.log()
    assert list(json.loads((tmp_path / "submitted" / "jobs.json").read_text())) == ["one"]


@pytest.mark.parametrize(("queue", "expected"), [("7_0 low PD", False), ("", True)])
def test_preempted_job_is_not_over_while_it_is_in_the_queue(cluster, tmp_path, queue, expected):
    squeue = tmp_path / "commands" / "squeue"
    squeue.write_text(f'#!/bin/sh\ntest "$*" = "--noheader --job 7_0" && echo "{queue}"\n')
    squeue.chmod(0o755)
    result = tmp_path / "result.pkl"
    job = SimpleNamespace(job_id="7_0", state="PREEMPTED", paths=SimpleNamespace(result_pickle=result))
    job.done = lambda force_check: True
    assert over(job) is expected
    result.touch()  # it has come round again
    assert over(job)
    job.done = lambda force_check: False
    assert not over(job)


def test_task_that_slurm_tells_to_end_waits_to_be_killed(planned, monkeypatch):
    """One that ends in the time of grace counts as failed, and is not requeued."""
    waited = []
    monkeypatch.setattr("research.ablation.running.slurm.time.sleep", waited.append)
    monkeypatch.setattr("research.ablation.running.slurm.work", terminated)
    with pytest.raises(SystemExit) as ended:
        Task(planned("one", 1).job)()
    assert ended.value.code == -signal.SIGTERM and waited == [900]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "cluster.time: give the minutes that a run may take"),
        ({"time": "1:00:00"}, "cluster.time: give the minutes that a run may take"),
        ({"time": 5, "partitoin": "a"}, r"cluster: .*partitoin"),
    ],
)
def test_bad_settings_are_refused_in_one_line(cluster, tmp_path, settings, told):
    with pytest.raises(UserError, match=told) as caught:
        slurm(tmp_path / "submitted", settings)
    assert "\n" not in str(caught.value)


def test_machine_without_slurm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--slurm: no srun on this machine"):
        slurm(tmp_path / "submitted", SETTINGS)


def test_without_submitit_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[slurm\]'"):
        slurm(tmp_path / "submitted", SETTINGS)
