"""Weightings that have a state, in runs of the real program: resumed exactly, logged, refused where they cannot be."""

import os
import signal

import pytest
import torch

from research.callbacks.metrics_log import MetricsLog
from research.config_errors import EXTRAS

STEPS = ["--trainer.max_steps", "12", "--trainer.val_check_interval", "2"]
SAMPLED = "{class_path: research.data.Sampled, init_args: {probabilities: {wiki: 0.6, intents: 0.4}, epoch: 7}}"
TURNS = ["--data.mixture", SAMPLED, "--trainer.check_val_every_n_epoch", "null"]
MOVES = "{start: 1, end: 0.2, figure: mlm/loss, patience: 1, moves: 9, larger_is_better: true}"  # though the loss falls
PLATEAU = f"{{class_path: research.weighting.Plateau, init_args: {MOVES}}}"
AGGREGATOR = "{aggregator: torchjd.aggregation.PCGrad}"
KINDS = {  # a state in parameters, in buffers, beside them, and in the step's random numbers
    "uncertainty": ["research.weighting.Uncertainty"],
    "gradnorm": ["research.weighting.GradNorm", *TURNS],
    "plateau": [f"{{class_path: research.weighting.Scheduled, init_args: {{weights: {{mlm: {PLATEAU}}}}}}}"],
    "aggregation": [f"{{class_path: research.weighting.Aggregation, init_args: {AGGREGATOR}}}",
                    "--trainer.accumulate_grad_batches", "2", "--trainer.max_steps", "6"],
}  # fmt: skip


def state(program, name):
    checkpoint = torch.load(program.run_folder(name) / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"] | {
        f"optimiser.{number}.{key}": value
        for number, state in checkpoint["optimizer_states"][0]["state"].items()
        for key, value in state.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_run_is_the_same_run(program, monkeypatch, kind):
    pytest.importorskip("torchjd", reason="the extra torchjd is not installed")
    more = [*STEPS, "--model.weighting", *KINDS[kind]]
    assert program("fit", f"{kind}-whole", *more) == 0
    log, fired = MetricsLog.on_train_batch_end, []

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7 and not fired:
            fired.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    assert program("fit", kind, *more) == 128 + signal.SIGTERM
    assert program("fit", kind, *more, "--ckpt_path", "last") == 0
    rows = program.log(f"{kind}-whole")
    assert program.log(kind) == rows
    expected, got = state(program, f"{kind}-whole"), state(program, kind)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(got[key])), key
    used = [{row[f"weight/{name}"] for row in rows if row[f"weight/{name}"]} for name in ("mlm", "ce")]
    assert len(used[0]) > 2, "its weight does not move"
    assert all(
        float(row["weighted/mlm"]) == pytest.approx(float(row["weight/mlm"]) * float(row["loss/mlm"]), rel=1e-4)
        for row in rows
        if row["weight/mlm"]
    )


FSDP = "research.strategies.FSDP"


@pytest.mark.parametrize("strategy", [FSDP, "deepspeed_stage_2"])
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("GradNorm", ["--model.weighting", "research.weighting.GradNorm"]),
        ("Aggregation", ["--model.weighting", "research.weighting.Aggregation"]),
        ("EMATeacher", ["--model.teacher", "research.models.EMATeacher"]),
        ("Mixout", ["--model.student.mixout", "0.5"]),
        ("RecAdam", ["--model.optimisation.optimiser", "research.optimisers.RecAdam"]),
        ("WeightAverage", ["--trainer.callbacks+=research.callbacks.WeightAverage"]),
        ("Reptile", ["--trainer.callbacks+=research.callbacks.Reptile"]),
        ("ObjectiveGradients", ["--trainer.callbacks+=research.callbacks.ObjectiveGradients"]),
        ("chunk", ["--model.student.chunk", "2"]),
        ("L2SP", ["--model.objectives.l2sp", "{class_path: research.objectives.L2SP}"]),
        ("SMART", ["--model.objectives.s", "{class_path: research.objectives.SMART, init_args: {stream: intents}}"]),
    ],
)
def test_what_needs_the_model_whole_is_refused_where_it_is_divided(program, capsys, name, setting, strategy):
    pytest.importorskip("torchjd", reason="the extra torchjd is not installed")
    assert program("fit", "sharded", *setting, "--trainer.strategy", strategy) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: trainer.strategy: {name} needs the whole model on each process")
    assert told.count("\n") == 1 and not program.run_folder("sharded").exists()


@pytest.mark.parametrize(
    "nothing", [["--trainer.limit_val_batches", "0"], ["--data.streams.wiki.init_args.validation", "0"]]
)
def test_a_plateau_that_no_validation_moves_is_refused(program, capsys, nothing):
    assert program("fit", "still", "--model.weighting", *KINDS["plateau"], *nothing) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: model.weighting.weights.mlm: its figure is of 'mlm', which no validation measures")
    assert told.count("\n") == 1 and not program.run_folder("still").exists()


def test_a_library_refuses_in_one_line(program, capsys):
    pytest.importorskip("cvxpy", reason="the extra torchjd is not installed")
    aggregator = "{class_path: torchjd.aggregation.CAGrad, init_args: {c: -1.0}}"
    weighting = f"{{class_path: research.weighting.Aggregation, init_args: {{aggregator: {aggregator}}}}}"
    assert program("fit", "refused", "--model.weighting", weighting) == 2
    told = "error: model.weighting.init_args.aggregator: c must be non-negative, but got -1.0.\n"
    assert capsys.readouterr().err == told


def test_a_library_that_is_missing_names_its_extra(program, capsys, monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_library", "torchjd")
    weighting = "{class_path: research.weighting.Aggregation, init_args: {aggregator: no_such_library.UPGrad}}"
    assert program("fit", "missing", "--model.weighting", weighting) == 2
    told = "No module named 'no_such_library'; it needs the extra: pip install 'hybrid-fine-tuning[torchjd]'\n"
    assert capsys.readouterr().err == f"error: model.weighting.init_args.aggregator: {told}"
