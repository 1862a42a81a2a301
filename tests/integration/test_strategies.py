"""FSDP trains what DDP trains, and a run goes on from what it saves; launches by SLURM and torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from research.terminal import run_command

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "strategy"
STEPS = 25


def strategy(name, *more):
    return ["--config", str(FOLDER / f"{name}.yaml"), "--trainer.devices", "2", *more]


def free_port():
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return str(listening.getsockname()[1])


def side_by_side(program, count, *commands):
    """Run command lines ``(arguments, step to stop at or none)`` in processes such as a cluster starts."""
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": str(count)}
    line = [sys.executable, str(Path(__file__).with_name("side_by_side.py")), json.dumps(commands)]
    ranks = [{"RANK": str(i), "LOCAL_RANK": str(i)} for i in range(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": program.folder}
    processes = [subprocess.Popen(line, env=program.environment() | place | rank, **pipes) for rank in ranks]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def assert_close(program, name, other):
    """Each row of metrics.csv has the same columns, and equal figures but for what rounding makes of them."""
    rows, others = program.log(name), program.log(other)
    assert len(rows) == len(others) >= STEPS
    for row, expected in zip(rows, others, strict=True):
        assert {k for k, v in row.items() if v} == {k for k, v in expected.items() if v}
        for key in (key for key, value in expected.items() if value):
            assert float(row[key]) == pytest.approx(float(expected[key]), rel=1e-5, abs=1e-5), (row["step"], key)


def state(program, name):
    return torch.load(program.run_folder(name) / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_strategy_resolves(program, path, capsys):
    assert run_command(program.arguments("fit", "a", "--config", str(path), "--print_config")) == 0
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    assert path.stem.partition("_")[0] in str(trainer["strategy"]).lower() and trainer["devices"] == "auto"


@pytest.fixture(scope="module")
def ddp(program):
    """The run that all others are compared with, also by its figures on the test split."""
    side_by_side(
        program,
        2,
        (program.arguments("fit", "ddp", *strategy("ddp")), None),
        (program.arguments("test", "ddp", *strategy("ddp"), "--ckpt_path", "last"), None),
    )
    return "ddp"


@pytest.mark.parametrize(
    ("kind", "beside"),
    [
        ("full", "false"),
        pytest.param("sharded", "false", marks=pytest.mark.slow),
        pytest.param("sharded", "true", marks=pytest.mark.slow),
    ],
)
def test_divided_parameters_train_as_whole_ones_do(program, ddp, kind, beside):
    """Stopped after step 11 and gone on with: equal losses, gradient norms, weights, moments and test figures."""
    more = ["--trainer.strategy.init_args.state_dict_type", kind, "--run.checkpoint_async", beside]
    run, chosen = f"fsdp-{kind}-{beside}", strategy("fsdp", *more)
    side_by_side(
        program,
        2,
        (program.arguments("fit", run, *chosen), 11),
        (program.arguments("fit", run, *chosen, "--ckpt_path", "last"), None),
        (program.arguments("test", run, *chosen, "--ckpt_path", "last"), None),
    )
    assert_close(program, run, ddp)
    figures = [json.loads((program.run_folder(n) / "test.json").read_text()) for n in (run, ddp)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-4) and len(figures[0]) > 2
    last = program.run_folder(run) / "checkpoints" / "last.ckpt"
    if kind == "sharded":
        assert len(list(last.glob("*.distcp"))) == 2, "a part of each process"
        return
    mine, whole = state(program, run), state(program, ddp)
    assert mine["state_dict"].keys() == whole["state_dict"].keys()
    torch.testing.assert_close(mine["state_dict"], whole["state_dict"], rtol=1e-4, atol=1e-5)
    moments, others = (each["optimizer_states"][0]["state"] for each in (mine, whole))
    torch.testing.assert_close(moments, others, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [("fsdp", "ddp"), ("ddp", "fsdp")])
def test_a_run_goes_on_by_another_strategy(program, ddp, before, after):
    run = f"{before}-then-{after}"
    side_by_side(
        program,
        2,
        (program.arguments("fit", run, *strategy(before)), 11),
        (program.arguments("fit", run, *strategy(after), "--ckpt_path", "last"), None),
    )
    assert_close(program, run, ddp)


@pytest.mark.slow
def test_four_processes(program):
    runs = [
        (program.arguments("fit", f"{name}-4", *strategy(name), "--trainer.devices", "4"), None)
        for name in ("ddp", "fsdp")
    ]
    side_by_side(program, 4, *runs)
    assert_close(program, "fsdp-4", "ddp-4")


class Node:
    """A job of SLURM on a node of two tasks, which runs ``fit.sbatch`` again for as long as it is requeued."""

    def __init__(self, program, number):
        self.program, self.state = program, program.folder / f"job-{number}"
        commands = self.state / "bin"
        commands.mkdir(parents=True)
        for name in ("srun", "scontrol"):
            (commands / name).write_text(
                f"#!{sys.executable}\n{Path(__file__).with_name('little_nodes.py').read_text()}"
            )
            (commands / name).chmod(0o755)
        path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
        job = {
            "SLURM_JOB_ID": str(number),
            "SLURM_JOB_NAME": "fit",
            "SLURM_NNODES": "1",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_CPUS_PER_TASK": "1",
        }
        self.environment = program.environment() | job | {"LITTLE_NODES": str(self.state), "PATH": path}
        self.name = f"fit.{number}"
        self.line = ["bash", str(ROOT / "configs/cluster/fit.sbatch"), "--config", str(program.folder / "tiny.yaml"),
                     "--config", str(FOLDER / "ddp.yaml"), "--run.checkpoint_every", "1000"]  # fmt: skip

    def start(self):
        (self.state / "requeued").unlink(missing_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": self.program.folder}
        return subprocess.Popen(self.line, env=self.environment, start_new_session=True, **pipes)

    def wait_for_lines(self, job, count):
        """Of the run's log, which also has one for each validation."""
        metrics = self.program.run_folder(self.name) / "metrics.csv"
        deadline = time.monotonic() + 300
        while not metrics.exists() or metrics.read_text().count("\n") <= count:
            assert job.poll() is None, job.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def signal(self, number):
        """To each task, as SLURM does it, and wait until they have ended."""
        tasks = [psutil.Process(int(task)) for task in (self.state / "tasks").read_text().split()]
        for task in tasks:
            task.send_signal(number)
        psutil.wait_procs(tasks, timeout=120)


def test_a_job_of_slurm_goes_on_where_it_was(program, ddp):
    """Its time is up after some steps, then others come first: losses and weights as if nothing had been."""
    node = Node(program, 10_000 + os.getpid() % 10_000)
    job = node.start()
    node.wait_for_lines(job, 5)
    node.signal(signal.SIGUSR1)
    output = job.communicate(timeout=300)[0]
    assert job.returncode == 138 and (node.state / "requeued").exists(), output
    assert "stopped by SIGUSR1" in output

    job = node.start()
    before = int(program.log(node.name)[-1]["step"])
    node.wait_for_lines(job, 16)
    node.signal(signal.SIGTERM)
    time.sleep(1)
    assert job.poll() is None and not (node.state / "requeued").exists(), "it waits for SLURM to take it"
    os.killpg(job.pid, signal.SIGKILL)
    output = job.communicate()[0]
    assert "stopped by SIGTERM" in output
    steps = int(program.log(node.name)[-1]["step"])
    assert before < steps < STEPS, "the signals came too late to show anything"

    job = node.start()
    output = job.communicate(timeout=300)[0]
    assert job.returncode == 0, output
    assert program.log(node.name) == program.log(ddp)
    weights, expected = state(program, node.name)["state_dict"], state(program, ddp)["state_dict"]
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    assert len([p for p in (program.folder / "runs").iterdir() if p.name.startswith(node.name)]) == 1


def torchrun(program, name, *options, port, more=()):
    line = [sys.executable, "-m", "torch.distributed.run", *options, "--master-addr", "localhost",
            "--master-port", port, "-m", "research.cli", *program.arguments("fit", name, *more)]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": program.folder}
    return subprocess.Popen(line, env=program.environment(), **pipes)


@pytest.mark.slow
def test_torchrun_on_one_node_and_on_two(program, ddp):
    both = torchrun(program, "one", "--nproc-per-node", "2", port=free_port(), more=strategy("ddp"))
    output = both.communicate(timeout=300)[0]
    assert both.returncode == 0, output
    port, more = free_port(), [*strategy("ddp"), "--trainer.devices", "1", "--trainer.num_nodes", "2"]
    nodes = [
        torchrun(program, "two", "--nnodes", "2", "--node-rank", rank, "--nproc-per-node", "1", port=port, more=more)
        for rank in ("0", "1")
    ]
    for node in nodes:
        output = node.communicate(timeout=300)[0]
        assert node.returncode == 0, output
    assert program.log("one") == program.log("two") == program.log(ddp)
    assert not program.run_folder("one-2").exists() and not program.run_folder("two-2").exists()


@pytest.mark.slow
def test_a_process_that_dies_takes_the_others_with_it(program):
    """Without anything that would kill them."""
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    more = [*strategy("ddp"), "--trainer.max_steps", "100000"]
    line = [sys.executable, "-m", "research.cli", *program.arguments("fit", "torn", *more)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": program.folder}
    first, second = (
        subprocess.Popen(line, env=program.environment() | place | {"RANK": i, "LOCAL_RANK": i}, **pipes) for i in "01"
    )
    metrics, deadline = program.run_folder("torn") / "metrics.csv", time.monotonic() + 300
    while not metrics.exists() or metrics.read_text().count("\n") < 9:
        assert time.monotonic() < deadline and first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    second.kill()
    output = first.communicate(timeout=120)[0]
    assert first.returncode not in (0, None), output
    second.communicate()
    assert output.splitlines()[-1].startswith("error: ")


def test_other_processes_than_were_started_are_refused(program, capsys, monkeypatch):
    assert program("fit", "alone", *strategy("ddp"), "--trainer.num_nodes", "2") == 2
    told = capsys.readouterr().err
    assert told == "error: trainer.num_nodes is 2: start the run on all of them with torchrun or srun\n"
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for key, value in place.items():
        monkeypatch.setenv(key, value)
    assert program("fit", "alone", *strategy("ddp")) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: trainer.devices 2 x trainer.num_nodes 1 is not") and told.count("\n") == 1
    assert not program.run_folder("alone").exists()


def test_a_folder_is_read_by_what_has_written_it(program, capsys, tmp_path):
    (tmp_path / "last.ckpt").mkdir()
    assert program("fit", "parts", "--ckpt_path", str(tmp_path / "last.ckpt")) == 2
    assert "a folder; name a file" in capsys.readouterr().err
    (tmp_path / "last.ckpt" / "meta.pt").touch()
    assert program("fit", "parts", "--ckpt_path", str(tmp_path / "last.ckpt")) == 2
    assert "which only the strategy that wrote it reads" in capsys.readouterr().err
    assert not program.run_folder("parts").exists()
