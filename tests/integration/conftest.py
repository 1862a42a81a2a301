"""A tiny run of the real program: two streams, three objectives, seconds of training."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from research.run import CHOSEN
from research.terminal import run_command

ROOT = Path(__file__).parents[2]


class Program:
    """The command line over ``tiny.yaml`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k != CHOSEN}
        return environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)]), "OMP_NUM_THREADS": "1"}

    def arguments(self, command: str, name: str, *more: str) -> list[str]:
        return [command, "--config", str(self.folder / "tiny.yaml"), "--run.folder", str(self.folder / "runs"),
                "--run.name", name, *more]  # fmt: skip

    def __call__(self, command: str, name: str, *more: str) -> int:
        """Run in this process."""
        os.environ.pop(CHOSEN, None)
        return run_command(self.arguments(command, name, *more))

    def start(self, command: str, name: str, *more: str) -> "subprocess.Popen[str]":
        """Start a process of its own."""
        line = [sys.executable, "-m", "research.cli", *self.arguments(command, name, *more)]
        return subprocess.Popen(
            line, env=self.environment(), cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run_folder(self, name: str) -> Path:
        return self.folder / "runs" / name

    def log(self, name: str) -> list[dict[str, str]]:
        """The rows of ``metrics.csv`` without what a clock or the allocator decides."""
        with (self.run_folder(name) / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        clock = ("tokens_per_second", "waiting_for_data", "peak_memory_gb")
        return [{k: v for k, v in r.items() if k not in clock} for r in rows]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, slices: Path) -> Program:
    folder = tmp_path_factory.mktemp("program")
    text = (Path(__file__).parent / "tiny.yaml").read_text().replace("SLICES", str(slices))
    (folder / "tiny.yaml").write_text(text)
    return Program(folder)
