"""Private runs of the real program: what they spend is told and never passed; what cannot be private is refused."""

import csv
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from research.callbacks.metrics_log import MetricsLog
from research.compression import command
from research.errors import UserError
from research.inference import load
from research.terminal import run_command

pytest.importorskip("opacus", reason="the extra private is not installed")


def private(**settings: Any) -> list[str]:
    """The options of a run whose labelled stream is private."""
    given = {"streams": ["intents"], "epsilon": 8, "delta": 0.01, "repeatable": True} | settings
    return ["--model.privacy", json.dumps(given)]


STEPS = ["--trainer.max_steps", "12", "--trainer.val_check_interval", "4"]


def checkpoint(program: Any, name: str) -> dict[str, Any]:
    path = program.run_folder(name) / "checkpoints" / "last.ckpt"
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def test_what_is_spent_is_told_and_counted_on(
    program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program("fit", "whole", *private(), *STEPS) == 0
    rows = program.log("whole")
    spent = [float(row["epsilon/intents"]) for row in rows if row["epsilon/intents"]]
    assert len(spent) == 12 and spent == sorted(set(spent)) and 7.8 < spent[-1] <= 8
    summary = json.loads((program.run_folder("whole") / "fit.json").read_text())["privacy"]["intents"]
    assert summary["epsilon"] == spent[-1] and summary["steps"] == 12 and summary["delta"] == 0.01
    assert 0 < summary["sampling_rate"] < 0.2 and summary["noise_multiplier"] > 0.3 and not summary["secret"]
    assert re.search(r"intents: differentially private, epsilon (7\.9\d|8\.00), delta 0\.01", capsys.readouterr().out)

    log, fired = MetricsLog.on_train_batch_end, []

    def signal_self(self: Any, trainer: Any, *args: Any) -> None:
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7 and not fired:
            fired.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    assert program("fit", "stopped", *private(), *STEPS) == 128 + signal.SIGTERM
    assert checkpoint(program, "stopped")["hybrid"]["privacy"]["intents"]["steps"] == 7
    assert program("fit", "stopped", *private(), *STEPS, "--ckpt_path", "last") == 0
    assert program.log("stopped") == rows
    mine, theirs = (checkpoint(program, name)["state_dict"] for name in ("stopped", "whole"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)

    assert program("fit", "stopped", *private(), "--trainer.max_steps", "40", "--ckpt_path", "last") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: trainer.max_steps: 40 batches would spend epsilon ")
    assert told.endswith("on stream 'intents'; model.privacy.epsilon allows 8")


def test_the_public_stream_learns_without_noise(program: Any) -> None:
    """Where a clip is tiny, so is what the private stream adds; the public losses are those of a run without it."""
    assert program("fit", "public", *private(clip=1e-12), *STEPS) == 0
    without = ["--without", "[ce]", *STEPS]
    assert program("fit", "alone", *without) == 0
    ours, alone = (
        [float(row["loss/mlm"]) for row in program.log(name) if row["loss/mlm"]] for name in ("public", "alone")
    )
    assert ours == pytest.approx(alone, rel=1e-3)
    assert program("fit", "noisy", *private(clip=10), *STEPS) == 0
    assert [float(row["loss/mlm"]) for row in program.log("noisy") if row["loss/mlm"]] != pytest.approx(alone, rel=1e-3)


def test_samples_and_noise_are_secret_unless_wanted(program: Any) -> None:
    secret = [*private(repeatable=False), "--trainer.max_steps", "2"]
    for name in ("first", "second"):
        assert program("fit", name, *secret) == 0
        assert json.loads((program.run_folder(name) / "fit.json").read_text())["privacy"]["intents"]["secret"]
    mine, theirs = (checkpoint(program, name)["state_dict"] for name in ("first", "second"))
    assert any(not torch.equal(mine[name], theirs[name]) for name in theirs)


def test_accumulated_batches_are_mechanisms_of_their_own(program: Any) -> None:
    assert (
        program("fit", "accumulated", *private(), "--trainer.max_steps", "3", "--trainer.accumulate_grad_batches", "2")
        == 0
    )
    summary = json.loads((program.run_folder("accumulated") / "fit.json").read_text())["privacy"]["intents"]
    assert summary["steps"] == 6 and 7.8 < summary["epsilon"] <= 8


WEIGHTED = (
    "{class_path: research.objectives.Classification, init_args: {stream: intents, class_weights: {card_arrival: 2}}}"
)
SAMPLED = "{class_path: research.data.Sampled, init_args: {probabilities: {wiki: 0.6, intents: 0.4}, epoch: 7}}"
PROJECTION = json.dumps(
    {
        "class_path": "research.callbacks.GroupProjection",
        "init_args": {
            "task": "intents",
            "source": {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": "texts.txt"}},
        },
    }
)
TEACHER = ["--model.teacher", "research.models.EMATeacher"]
DISTIL = "{class_path: research.objectives.Distillation, init_args: {stream: wiki, task: intents}}"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            private(streams=["tickets"]),
            "model.privacy.streams: no stream 'tickets'; data.streams has wiki, in",
        ),
        (
            private(streams=["wiki"]),
            "model.objectives.nce: Contrastive is no sum over single examples, so ",
        ),
        (["--model.objectives.ce", WEIGHTED], "model.objectives.ce: class_weights weigh examples against each other; "),
        ([*TEACHER, "--model.objectives.kd", DISTIL], "model.objectives.kd: its teacher may learn the classes of the "),
        (
            ["--model.weighting", "research.weighting.Uncertainty"],
            "model.weighting: Uncertainty goes by losses, which ",
        ),
        (
            ["--data.mixture", SAMPLED],
            "data.mixture: Sampled does not give a batch of ",
        ),
        (
            ["--data.streams.intents.init_args.curriculum", "{batches: 3}"],
            "data.streams.intents.init_args.curriculum: a pr",
        ),
        (
            ["--trainer.callbacks+=research.callbacks.LossGuard"],
            "trainer.callbacks: LossGuard goes by losses, which tell",
        ),
        (
            ["--trainer.callbacks+", PROJECTION],
            "trainer.callbacks: GroupProjection changes a head by its texts without noise",
        ),
        (
            ["--trainer.strategy", "research.strategies.FSDP"],
            "trainer.strategy: DPSGD needs the whole model on each pro",
        ),
        (
            ["--trainer.strategy", "ddp", "--trainer.devices", "2"],
            "trainer.devices: DP-SGD runs in one process, not in 2",
        ),
        (private(epsilon=0), "model.privacy.epsilon is 0.0; it must be above 0 and finite"),
        (private(delta=0.2), "model.privacy.delta is 0.2; it must be below 1/"),
        (
            private(epsilon=1e-7),
            "model.privacy.epsilon is 1e-07; with delta 0.01 it must be above 0.",
        ),
    ],
)
def test_what_cannot_be_private_is_refused(
    program: Any, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    assert program("fit", "refused", *private(), *more) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"error: {told}") and not program.run_folder("refused").exists()


def test_compress_does_not_read_private_texts(
    program: Any, slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = tmp_path / "public.txt"
    public.write_text((slices / "wikitext.txt").read_text()[:4000])
    short = [*private(), "--trainer.max_steps", "2"]
    assert program("fit", "both", *short, "--data.streams.wiki.init_args.source.init_args.paths", str(public)) == 0
    assert program("fit", "all-private", *short, "--without", "[mlm, nce]") == 0

    def compress(run: str, *more: str) -> None:
        given = ["--ckpt", str(program.run_folder(run)), "--output", str(tmp_path), *more]
        command.compress(command.parsed(given), tmp_path)  # measures nothing

    with pytest.raises(UserError, match="--heads: would choose by texts of the private stream 'intents' without noise"):
        compress("both", "--heads", "0.5")
    with pytest.raises(UserError, match="--vocabulary: all streams of the run are private"):
        compress("all-private", "--vocabulary")
    compress("both", "--vocabulary")
    before, after = (load(folder).student.tokenizer for folder in (program.run_folder("both"), tmp_path))
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        own = {token for row in csv.DictReader(file) for token in before.tokenize(row["text"])}
    theirs, kept = set(before.tokenize(public.read_text())), after.get_vocab().keys()
    always = {*before.all_special_tokens, *(token for token in own if len(token.removeprefix("##")) == 1)}
    assert theirs <= kept and len(own - theirs - always) > 20 and not (own - theirs - always) & kept


def test_a_plan_is_refused(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", "--config", str(program.folder / "tiny.yaml"), *private()]) == 2
    assert capsys.readouterr().err.startswith("error: model.privacy: plan counts steps of whole batches")
