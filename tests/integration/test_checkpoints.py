"""What a user meets of checkpoints: full disks, writing beside the training, the best ones."""

import os
import resource
import signal
from pathlib import Path

import pytest
import torch

from research.callbacks.metrics_log import MetricsLog
from research.checkpoints.reading import load_checkpoint
from research.terminal import run_command

ROOT = Path(__file__).parents[2]


FEW = ["--trainer.max_steps", "8", "--run.checkpoint_every", "2"]


def last(program, name):
    return program.run_folder(name) / "checkpoints" / "last.ckpt"


def same_weights(program, *names):
    one, other = (load_checkpoint(last(program, name)) for name in names)
    assert one["global_step"] == other["global_step"]
    assert one["state_dict"].keys() == other["state_dict"].keys()
    return all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())


@pytest.fixture(scope="module")
def whole(program):
    assert program("fit", "whole", *FEW) == 0
    return "whole"


@pytest.fixture
def after_step(monkeypatch):
    """``after_step[n] = f`` calls f after step n."""
    log, calls = MetricsLog.on_train_batch_end, {}

    def call(self, trainer, *args):
        log(self, trainer, *args)
        calls.pop(trainer.fit_loop.epoch_loop.batch_progress.total.ready, lambda: None)()

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", call)
    return calls


@pytest.mark.parametrize("more", [[], ["--run.checkpoint_async", "true"]])
def test_a_full_disk_does_not_end_a_run(program, whole, after_step, caplog, more):
    """The largest file allowed is too small for the checkpoints of steps 4 and 6; that of step 8 is written again."""
    name = f"full-{len(more)}"
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    after_step[3] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    kept = {}

    def room():
        kept.update((path.name, load_checkpoint(path)["global_step"]) for path in last(program, name).parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    after_step[7] = room
    try:
        assert program("fit", name, *FEW, *more) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert kept == {"last.ckpt": 2}
    lines = [line for line in caplog.messages if "cannot be written" in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"{last(program, name)}: the checkpoint cannot be written (File too large; ")
    assert lines[0].endswith("; training goes on, and tries again at the next")
    assert same_weights(program, name, whole)


def test_written_beside_the_training(program, whole, after_step):
    """The same files as those written at once, also of a run that is stopped and goes on."""
    more = [*FEW, "--run.checkpoint_async", "true", "--run.checkpoint_every", "1"]
    after_step[4] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert program("fit", "beside", *more) == 128 + signal.SIGTERM
    assert load_checkpoint(last(program, "beside"))["global_step"] == 4
    assert program("fit", "beside", *more, "--ckpt_path", "last") == 0
    assert same_weights(program, "beside", whole)


BEST = ["--config", str(ROOT / "configs" / "checkpoints" / "top_k.yaml")]
HELD_OUT = ["--data.streams.intents.init_args.validation", "0.3"]


def best(program, name):
    """The list that the last checkpoint has of the best ones, by their names, and the files that there are."""
    checkpoint = load_checkpoint(last(program, name))
    (state,) = (state for key, state in checkpoint["callbacks"].items() if key.startswith("ModelCheckpoint"))
    listed = {Path(path).name: float(figure) for path, figure in state["best_k_models"].items()}
    return listed, {path.name for path in last(program, name).parent.glob("best-*")}


def test_the_best_are_kept_also_after_a_stop(program, after_step):
    arguments = [*BEST, *HELD_OUT, *FEW, "--trainer.max_steps", "10", "--trainer.val_check_interval", "2"]
    assert program("fit", "best", *arguments) == 0
    figures = {int(row["step"]): float(row["validation/ce/loss"])
               for row in program.log("best") if row.get("validation/ce/loss")}  # fmt: skip
    expected = {f"best-{step:06d}.ckpt": figures[step] for step in sorted(figures, key=figures.__getitem__)[:3]}
    assert len(figures) == 5
    listed, files = best(program, "best")
    assert listed == pytest.approx(expected) and files == set(expected)
    after_step[7] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert program("fit", "best-stopped", *arguments) == 128 + signal.SIGTERM
    assert program("fit", "best-stopped", *arguments, "--ckpt_path", "last") == 0
    listed, files = best(program, "best-stopped")
    assert listed == pytest.approx(expected) and files == set(expected)
    chosen = str(last(program, "best").with_name(min(expected)))
    assert program("test", "best", *arguments, "--ckpt_path", chosen) == 0


SHARDS = "{class_path: research.strategies.FSDP, init_args: {state_dict_type: sharded}}"


@pytest.mark.slow  # processes are started three times, two each
def test_shards_of_two_processes(program, tmp_path, capsys):
    """A damaged shard is found, and the folder before it used; one file made of a folder goes on in one process."""
    steps = ["--run.checkpoint_every", "3"]
    two = [*steps, "--trainer.strategy", SHARDS, "--trainer.devices", "2"]

    def fit(*more):
        process = program.start("fit", "divided", *more)
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 0, output
        return output

    def whole(name):
        path = str(tmp_path / f"{name}.ckpt")
        assert run_command(["checkpoint", "consolidate", str(last(program, "divided")), "--output", path]) == 0
        return load_checkpoint(Path(path))

    fit(*two, "--trainer.max_steps", "8")
    first = whole("first")
    assert first["global_step"] == 8
    shard = last(program, "divided") / "__1_0.distcp"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    output = fit(*two, "--trainer.max_steps", "8", "--ckpt_path", "last")
    assert output.count("__1_0.distcp in it does not have its checksum); used instead: ") == 1
    second = whole("second")
    torch.testing.assert_close(second["state_dict"], first["state_dict"], rtol=0, atol=0)
    moments, expected = (checkpoint["optimizer_states"][0]["state"] for checkpoint in (second, first))
    torch.testing.assert_close(moments, expected, rtol=0, atol=0)
    path = str(tmp_path / "second.ckpt")
    assert program("fit", "alone", *steps, "--trainer.max_steps", "9", "--ckpt_path", path) == 0
    alone = load_checkpoint(last(program, "alone"))["optimizer_states"][0]
    assert {float(state["step"]) for state in alone["state"].values()} == {9.0}
    assert program("test", "alone", "--ckpt_path", path) == 0
    capsys.readouterr()
    assert program("test", "divided", "--ckpt_path", "last") == 2
    assert "checkpoint consolidate" in capsys.readouterr().err
