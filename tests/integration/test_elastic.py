"""``torchrun --nnodes 1:2``: a node joins and is lost, and the run goes on with what is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
DDP = Path(__file__).parents[2] / "configs" / "strategy" / "ddp.yaml"
STEPS = 40
PACED = """\
import time
from lightning.pytorch.callbacks import Callback

class Paced(Callback):
    def on_train_batch_end(self, trainer, *args):
        time.sleep(1)
        if trainer.is_global_zero:
            with open("sizes", "a") as file:
                file.write(f"{trainer.global_step} {trainer.world_size}\\n")
"""


def agent(program, port, host):
    line = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1",
        "--max-restarts", "5", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "elastic",
        "--rdzv-conf", f"is_host={int(host)},last_call_timeout=2", "--local-addr", "127.0.0.1", "-m", "research.cli",
        *program.arguments("fit", "elastic", "--config", str(DDP), "--ckpt_path", "auto",
                           "--trainer.max_steps", str(STEPS), "--trainer.callbacks", "paced.Paced"),
    ]  # fmt: skip
    environment = program.environment() | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    output = (program.folder / f"agent-{int(host)}.log").open("a")
    pipes = {"stdout": output, "stderr": subprocess.STDOUT, "cwd": program.folder}
    return subprocess.Popen(line, env=environment, start_new_session=True, **pipes)


def wait_for(program, first, size, steps):
    """Until so many steps have been taken by that number of processes."""
    sizes, deadline = program.folder / "sizes", time.monotonic() + 600
    while not sizes.exists() or [line.split()[1] for line in sizes.read_text().splitlines()].count(str(size)) < steps:
        assert first.poll() is None and time.monotonic() < deadline, (program.folder / "agent-1.log").read_text()
        time.sleep(0.2)


def kill(node):
    """The agent and what it has started: torchrun's workers lead sessions of their own."""
    listed = subprocess.check_output(["ps", "-eo", "pid=,ppid="], text=True).split()
    children = [int(pid) for pid, parent in zip(listed[::2], listed[1::2], strict=True) if int(parent) == node.pid]
    for pid in (node.pid, *children):
        os.kill(pid, signal.SIGKILL)
    node.wait()


def test_a_run_goes_on_with_the_nodes_there_are(program):
    (program.folder / "paced.py").write_text(PACED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = agent(program, port, host=True)
    wait_for(program, first, size=1, steps=3)
    second = agent(program, port, host=False)
    wait_for(program, first, size=2, steps=6)
    kill(second)
    assert first.wait(600) == 0, (program.folder / "agent-1.log").read_text()
    sizes = [int(line.split()[1]) for line in (program.folder / "sizes").read_text().splitlines()]
    assert [size for i, size in enumerate(sizes) if i == 0 or sizes[i - 1] != size] == [1, 2, 1]
    steps = [int(row["step"]) for row in program.log("elastic") if row["loss"]]
    assert steps == list(range(1, STEPS + 1)), "each step once"
