"""What a log file holds of a training run, and what its bars say on a terminal."""

import re

import pytest

from research.callbacks import progress

LINE = r"step (\d+)/8 \[\d\d:\d\d<\S+, .+, loss [\d.]+, \w+ [\d.]+.*\]"


@pytest.mark.parametrize("wandb", ["disabled", "offline"])
def test_a_log_file_has_plain_lines(program, capsys, wandb):
    given = ["--trainer.max_steps", "8", "--trainer.val_check_interval", "4", "--trainer.enable_progress_bar", "true"]
    assert program("fit", f"plain-{wandb}", *given, "--run.wandb", wandb) == 0
    out, err = capsys.readouterr()
    assert not re.findall(r"[\x1b\r]", out + err)
    lines = [line for line in out.splitlines() if line.startswith("step ")]
    assert [re.fullmatch(LINE, line)[1] for line in lines] == [str(step) for step in range(1, 9)]


def test_bars_call_streams_by_their_names(program, capsys, monkeypatch):
    monkeypatch.setattr(progress, "Lines", progress.Bars)
    given = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "true"]
    assert program("fit", "bars", *given) == 0
    out = capsys.readouterr().out
    named = set(re.findall(r"Validation, (\w+)", out))
    assert named and named <= {"wiki", "intents"}


@pytest.mark.parametrize(("total", "said"), [(200, [10, 20, 30]), (5, [1, 2, 3])])
def test_twenty_lines_a_run(total, said, capsys):
    from types import SimpleNamespace

    lines = progress.Lines()
    module = SimpleNamespace(total_steps=total)
    trainer = SimpleNamespace(global_step=0, progress_bar_metrics={"loss": 2.5})
    lines.on_train_start(trainer, module)
    for trainer.global_step in (step for step in range(1, said[-1] + 1) for _ in range(2)):  # two batches a step
        lines.on_train_batch_end(trainer, module)
    assert [int(n) for n in re.findall(r"step (\d+)/", capsys.readouterr().out)] == said
