"""A run of a grid in this process: killed as it ends, it leaves nothing; and this process is as it was."""

import os

import pytest

from research.ablation.running.job import Job, run
from research.run import CHOSEN


@pytest.fixture
def job(grid_file, tmp_path):
    grid_file("")
    options = ["--config", str(tmp_path / "question" / "base.yaml"), "--trainer.max_steps", "2"]
    made = Job("key", tmp_path / "runs" / "key", [*options, "--trainer.limit_val_batches", "0"], (), keep=False)
    made.folder.mkdir(parents=True)
    return made


def test_killed_before_its_weights_are_deleted(job, monkeypatch):
    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Job, "forget", killed)
        run(job)
    assert job.checkpoint.exists() and not job.done
    trained = (job.folder / "fit.json").stat().st_mtime_ns
    assert run(job) == 0
    assert job.done and not job.checkpoint.parent.exists()
    assert (job.folder / "fit.json").stat().st_mtime_ns == trained, "nothing is trained again"
    assert job.record()["cost"]["steps"] == 2


@pytest.mark.parametrize("before", [{}, {CHOSEN: "elsewhere", "HYBRID_TRACEBACK": "0"}])
def test_the_environment_is_as_it_was(job, monkeypatch, before):
    for name in (CHOSEN, "HYBRID_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    assert run(job) == 0
    assert {name: os.environ[name] for name in (CHOSEN, "HYBRID_TRACEBACK") if name in os.environ} == before
