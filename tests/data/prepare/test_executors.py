"""Clusters: what SLURM is given, and that it runs; what Ray is given."""

import json
import os
from pathlib import Path
from typing import Any

import dill
import pytest
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor

from research.data.prepare.preparation import Preparation
from research.data.sources import JSONLines
from research.terminal import run_command

SBATCH = """#!/bin/sh
number=$(( $(cat {folder}/number 2>/dev/null || echo 0) + 1 ))
echo $number > {folder}/number
for script; do :; done
{{ echo "$@"; cat "$script"; }} > {folder}/job-$number
echo Submitted batch job $number
"""


def test_slurm(comments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Jobs are submitted in a chain; then every task is run as on a node, and the same command shows the report."""
    for name, script in (("sbatch", SBATCH.format(folder=tmp_path)), ("scontrol", "#!/bin/sh\necho node1\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for i in range(2):
        lines = [json.dumps({"text": comment}) + "\n" for comment in comments[10 * i : 10 * i + 11]]  # one is in both
        (tmp_path / f"{i}.jsonl").write_text("".join(lines))
    slurm = "datatrove.executor.SlurmPipelineExecutor"
    command = [
        "data", "prepare", "--folder", str(tmp_path / "out"), "--tasks", "2", "--near_duplicates", "null",
        "--sources", json.dumps({"a": {"class_path": "research.data.sources.JSONLines",
                                       "init_args": {"paths": [str(tmp_path / "*.jsonl")]}}}),
        "--executor", slurm, "--executor.time", "01:30:00", "--executor.partition", "cpu-only",
        "--executor.cpus_per_task", "3",
    ]  # fmt: skip
    assert run_command(command) == 0
    assert "report" not in capsys.readouterr().out

    jobs = [(tmp_path / f"job-{number}").read_text() for number in range(1, 9)]  # each stage, and its sum of counts
    assert not (tmp_path / "job-9").exists()
    for job, array, after in zip(jobs[::2], ("0-1", "0-1", "0-1", "0-0"), (None, 1, 3, 5), strict=True):
        assert f"#SBATCH --array={array}\n" in job
        assert ("--dependency" in job.splitlines()[0]) == (after is not None)
        assert after is None or f"--dependency=afterok:{after}" in job
        for line in ("time=01:30:00", "partition=cpu-only", "cpus-per-task=3"):
            assert f"#SBATCH --{line}\n" in job

    monkeypatch.setenv("SLURM_NODELIST", "node1")
    for stage, tasks in (("exact-signatures", 2), ("exact-pairs", 2), ("data", 2), ("report", 1)):
        for task in range(tasks):
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
            with (tmp_path / "out" / "logs" / stage / "executor.pik").open("rb") as file:
                dill.load(file).run()
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    capsys.readouterr()
    assert run_command(command) == 0
    assert "exact-duplicates" in capsys.readouterr().out
    kept = [record["text"] for record in JSONLines(str(tmp_path / "out" / "data"))]
    assert sorted(kept) == sorted(set(comments[:21]))


def test_ray_and_local_are_given_their_settings(tmp_path: Path) -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_class_arguments(Preparation)
    source = {"a": {"class_path": "research.data.sources.JSONLines", "init_args": {"paths": "x"}}}
    arguments = ["--folder", "out", "--sources", json.dumps(source)]

    def executor(*more: str) -> Any:
        made = parser.instantiate(parser.parse_args([*arguments, *more]))
        return made.executor([], 5, logging_dir=str(tmp_path), depends=None)

    ray = executor("--executor", "datatrove.executor.RayPipelineExecutor", "--executor.mem_per_cpu_gb", "7")
    assert isinstance(ray, RayPipelineExecutor)
    assert (ray.world_size, ray.mem_per_cpu_gb, ray.logging_dir.path) == (5, 7, str(tmp_path))
    local = executor()
    assert isinstance(local, LocalPipelineExecutor)
    assert (local.tasks, local.workers) == (5, 5)
