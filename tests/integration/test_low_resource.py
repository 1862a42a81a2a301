"""What helps with few labels, in one run of the real program, stopped inside an episode and continued."""

import csv
import json
import os
import signal

import pytest
import torch

from research.callbacks.metrics_log import MetricsLog
from research.inference import load

GUESS = (
    "stream: wiki, task: intents, strong: {class_path: research.data.augment.TokenCutoff, init_args: {rate: 0.3}}, "
    "threshold: 0.2"
)
WORDS = "{activate_my_card: of, age_limit: in, atm_support: the, country_support: and, exchange_rate: to}"
PATTERN = f"stream: intents, pattern: '{{text}} It is {{mask}}.', words: {WORDS}"


def objectives(*asked):
    each = (f"{n}: {{class_path: research.objectives.{o}, init_args: {{{settings}}}}}" for n, o, settings in asked)
    return ["--model.objectives", f"{{{', '.join(each)}}}", "--model.weighting", "research.weighting.Fixed"]


FEW = objectives(
    ("ce", "Classification", "stream: intents, start: research.models.starts.Prototypes"),
    ("annealed", "AnnealedClassification", "stream: intents, batches: 6"),
    ("fix", "FixMatch", f"{GUESS}, align: true"),
    ("uda", "UDA", GUESS),
    ("free", "FreeMatch", GUESS.removesuffix(", threshold: 0.2")),
    ("pet", "PatternExploiting", PATTERN),
    ("proto", "Prototypical", "stream: intents, shots: 2"),
)
MIXTURE = (
    "{class_path: research.data.sampling.Repeated, init_args: {times: 3, mixture: "
    "{class_path: research.data.Sampled, init_args: {probabilities: {wiki: 0.5, intents: 0.5}, epoch: 8}}}}"
)
EPISODES = [
    "--data.mixture", MIXTURE,
    "--data.streams.intents.init_args.episodes", "{ways: 3, shots: 2, queries: 2}",
    "--trainer.callbacks", "[{class_path: research.callbacks.Reptile, init_args: {inner_steps: 3, inner_lr: 0.01}}]",
    "--trainer.check_val_every_n_epoch", "null",
    "--trainer.max_steps", "12", "--trainer.val_check_interval", "6",
]  # fmt: skip


def weights(program, name):
    return torch.load(program.run_folder(name) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_resumes_exactly_inside_an_episode(program, monkeypatch):
    assert program("fit", "whole", *FEW, *EPISODES) == 0
    rows = program.log("whole")
    for name in ("ce", "annealed", "fix", "uda", "free", "pet", "proto"):
        assert any(float(row[f"loss/{name}"] or 0) for row in rows), name
    log = MetricsLog.on_train_batch_end

    def stop(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "on_train_batch_end", stop)
        assert program("fit", "stopped", *FEW, *EPISODES) == 128 + signal.SIGTERM
    assert program("fit", "stopped", *FEW, *EPISODES, "--ckpt_path", "last") == 0
    assert program.log("stopped") == rows
    expected, got = weights(program, "whole"), weights(program, "stopped")
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    assert {"objectives.fix.marginal", "objectives.free.confidence", "objectives.annealed.seen"} <= expected.keys()


def test_predicts_by_the_pattern(program, slices):
    """As many labels right as the test of the same checkpoint counts; asked alone, it says the same of each text."""
    pet = [*objectives(("pet", "PatternExploiting", PATTERN), ("mlm", "MaskedLM", "stream: wiki"))]
    assert program("fit", "pet", *pet, "--trainer.max_steps", "3") == 0
    for command in ("test", "predict"):
        assert program(command, "pet", *pet, "--trainer.max_steps", "3", "--ckpt_path", "last") == 0
    folder = program.run_folder("pet")
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    told = [line["label"] for line in lines if line["stream"] == "intents"]
    with (slices / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["category"] == label for row, label in zip(rows, told, strict=True)]
    assert [answer["label"] for answer in load(folder).predict(row["text"] for row in rows)] == told
    accuracy = json.loads((folder / "test.json").read_text())["test/pet/accuracy"]
    assert sum(right) / len(right) == pytest.approx(accuracy, abs=1e-6) and 0 < accuracy < 1
