"""``configs/cluster/fit.sbatch`` under SLURM itself: its daemons on this machine, as two nodes of two cores."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = 90
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="no SLURM"),
]
NODES = ("127.0.0.1", "127.0.0.2")  # the first process is found by its node's name
CONFIG = """\
ClusterName=little
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=60
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 CoresPerSocket=2 CpuBind=core\n"
PATIENCE = """\
import atexit, os, time
from lightning.pytorch.callbacks import Callback

class Patience(Callback):
    def on_train_start(self, trainer, module):
        if trainer.is_global_zero:
            atexit.register(time.sleep, 15)  # as where W&B is slow to take the rest

    def on_train_batch_end(self, *args):
        time.sleep(1)
        with open(f"cores.{os.environ['SLURM_PROCID']}", "w") as file:
            file.write(str(len(os.sched_getaffinity(0))))
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Cluster:
    def __init__(self, folder, program):
        self.program, host = program, socket.gethostname().partition(".")[0]
        controller, *ports = free_ports(1 + len(NODES))
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        text = CONFIG.format(host=host, controller=controller, user=user, folder=folder)
        text += "".join(NODE.format(name=n, host=host, port=p) for n, p in zip(NODES, ports, strict=True))
        (folder / "slurm.conf").write_text(text)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (folder / "state").mkdir()
        (program.folder / "patience.py").write_text(PATIENCE)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
        self.environment = program.environment() | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
        daemons = [["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-N", name] for name in NODES)]
        self.daemons = [subprocess.Popen(d, env=self.environment, stderr=subprocess.DEVNULL) for d in daemons]
        self.wait(lambda: self("sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D").strip() == "2", 60)

    def __call__(self, *command):
        done = subprocess.run(command, env=self.environment, cwd=self.program.folder, capture_output=True, text=True)
        return done.stdout

    def wait(self, reached, seconds=900):
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline
            time.sleep(1)

    def submit(self, *options):
        """A fit of one process a node; the options are for sbatch."""
        told = self(
            "sbatch", "--parsable", "--nodes", "2", "--ntasks-per-node", "1", "--gpus-per-node", "0",
            "--cpus-per-task", "2", *options, str(ROOT / "configs/cluster/fit.sbatch"),
            "--config", str(self.program.folder / "tiny.yaml"), "--config", str(ROOT / "configs/strategy/ddp.yaml"),
            "--trainer.callbacks", "patience.Patience", "--trainer.max_steps", str(STEPS),
            "--run.checkpoint_every", "1000",
        )  # fmt: skip
        return told.strip()

    def state(self, job):
        fields = self("scontrol", "--oneliner", "show", "job", job).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def log(self, job):
        path = self.program.folder / f"fit.{job}.log"
        return path.read_text() if path.exists() else ""

    def close(self):
        self("scancel", "--user", self.environment.get("USER", "root"))
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(60)


@pytest.fixture(scope="module")
def slurm(program, tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm"), program)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def alone(program):
    """The run in two processes that nothing stops."""
    ddp = str(ROOT / "configs/strategy/ddp.yaml")
    run = program.start("fit", "alone", "--config", ddp, "--trainer.devices", "2", "--trainer.max_steps", str(STEPS))
    output = run.communicate(timeout=900)[0]
    assert run.returncode == 0, output
    return "alone"


def assert_went_on(slurm, job, word):
    slurm.wait(lambda: slurm.state(job)["JobState"] in ("COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL"))
    state, log = slurm.state(job), slurm.log(job)
    assert (state["JobState"], state["Restarts"]) == ("COMPLETED", "1"), log
    assert f"stopped by {word} after step" in log


def wait_for_steps(slurm, program, job):
    metrics = program.run_folder(f"fit.{job}") / "metrics.csv"
    slurm.wait(lambda: metrics.exists() and metrics.read_text().count("\n") > 5)


def set_time(slurm, job, minutes):
    slurm("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")


def test_a_job_whose_time_is_up_is_requeued_and_goes_on(slurm, program, alone):
    """However slow the machine: its time is cut when it trains, and given back when it is in the queue again."""
    job = slurm.submit("--time", "60", "--signal", "USR1@75")
    wait_for_steps(slurm, program, job)
    hours, minutes, _ = slurm.state(job)["RunTime"].split(":")
    set_time(slurm, job, 60 * int(hours) + int(minutes) + 2)
    slurm.wait(lambda: slurm.state(job)["Restarts"] == "1")
    set_time(slurm, job, 60)
    assert_went_on(slurm, job, "SIGUSR1")
    assert program.log(f"fit.{job}") == program.log(alone)
    assert [(program.folder / f"cores.{rank}").read_text() for rank in (0, 1)] == ["2", "2"]


def test_a_job_that_makes_room_is_requeued_and_goes_on(slurm, program, alone):
    job = slurm.submit("--time", "60")
    wait_for_steps(slurm, program, job)
    slurm("sbatch", "--partition", "high", "--nodes", "2", "--time", "1", "--output", "/dev/null", "--wrap", "sleep 5")
    assert_went_on(slurm, job, "SIGTERM")
    assert program.log(f"fit.{job}") == program.log(alone)
