"""A run stopped anywhere goes on with the batches and losses of a run that was never stopped, bit for bit."""

import json
import os
import signal
import time

import pytest
import torch
import yaml

from research.callbacks.metrics_log import MetricsLog
from research.data.sources import TextFiles
from research.models import Student, TrainedTokenizer

SAMPLED = "{class_path: research.data.Sampled, init_args: {probabilities: {wiki: 0.6, intents: 0.4}, epoch: 7}}"
ANNEALED = (
    "{class_path: research.data.sampling.Temperature, init_args: "
    "{temperature: {start: 1.0, end: 8.0, shape: cosine}, at_least: {intents: 0.3}, epoch: 9}}"
)
DRIVEN = (
    "{class_path: research.data.sampling.LossDriven, init_args: "
    "{reference: {wiki: 4.0, intents: 1.0}, every: 5, smoothing: 0.4, epoch: 9}}"
)
NO_EPOCHS = ["--trainer.check_val_every_n_epoch", "null"]
MODES = {
    "joint": [],
    "sampled": ["--data.mixture", SAMPLED, *NO_EPOCHS],
    "annealed": ["--data.mixture", ANNEALED, *NO_EPOCHS],
    "loss_driven": ["--data.mixture", DRIVEN, *NO_EPOCHS],
    "curriculum": ["--data.streams.wiki.init_args.curriculum", "{batches: 15}"],
}
STEPS = 25
STOPS = [1, 4, 5, 9, 10, 11, 15, 20, 24]  # first and last, before and after checkpoints, validations, epochs' edges
FEW = {"annealed": [11], "loss_driven": [13], "curriculum": [7]}  # modes that differ from others in one thing only
READ_AHEAD = ["--data.num_workers", "2"]


def weights(program, name):
    checkpoint = torch.load(program.run_folder(name) / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"] | {f"optimiser.{k}.{n}": v for k, s in
        checkpoint["optimizer_states"][0]["state"].items() for n, v in s.items()}  # fmt: skip


def mixture(program, name):
    return json.loads((program.run_folder(name) / "fit.json").read_text())["mixture"]


def assert_same(program, name, whole):
    assert program.log(name) == program.log(whole)
    expected, got = weights(program, whole), weights(program, name)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(got[key])), key
    assert mixture(program, name) == mixture(program, whole)


@pytest.mark.parametrize("mode", MODES)
def test_told_to_stop_at_any_step(program, monkeypatch, mode):
    more = MODES[mode]
    assert program("fit", f"{mode}-whole", *more) == 0
    assert (program.run_folder(f"{mode}-whole") / "mixture.png").exists() == ("--data.mixture" in more)
    if mode == "loss_driven":  # the losses of which steps count must not depend on the workers
        more = [*more, *READ_AHEAD]
    log, stop = MetricsLog.on_train_batch_end, {}

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == stop.get("at"):
            os.kill(os.getpid(), stop["signal"])

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    for i, at in enumerate(FEW.get(mode, STOPS)):
        number = (signal.SIGTERM, signal.SIGINT)[i % 2]
        stop.update(at=at, signal=number)
        name = f"{mode}-stopped-{at}"
        assert program("fit", name, *more) == 128 + number
        stop.clear()
        assert program("fit", name, *more, "--ckpt_path", "last") == 0
        assert_same(program, name, f"{mode}-whole")


@pytest.mark.parametrize("mode", ["joint", "sampled"])
def test_killed_without_warning(program, mode):
    """``kill -9`` of the real program between two checkpoints, with loader workers."""
    more = [*MODES[mode], *READ_AHEAD]
    whole, name = f"{mode}-undisturbed", f"{mode}-killed"
    undisturbed = program.start("fit", whole, *more)  # a process too: sums differ with the number of threads
    output = undisturbed.communicate(timeout=120)[0]
    assert undisturbed.returncode == 0, output
    process = program.start("fit", name, *more)
    metrics = program.run_folder(name) / "metrics.csv"
    deadline = time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < 9:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert 0 < int(program.log(name)[-1]["step"]) < STEPS, "the kill came too late to show anything"
    again = program.start("fit", name, *more, "--ckpt_path", "last")
    output = again.communicate(timeout=120)[0]
    assert again.returncode == 0, output
    assert_same(program, name, whole)


def test_stopped_between_accumulated_batches(program, monkeypatch):
    more = ["--trainer.accumulate_grad_batches", "3", "--trainer.max_steps", "8"]
    assert program("fit", "accumulated-whole", *more) == 0
    log = MetricsLog.on_train_batch_end
    fired = []

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 8 and not fired:
            fired.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    assert program("fit", "accumulated", *more) == 128 + signal.SIGTERM
    assert program("fit", "accumulated", *more, "--ckpt_path", "last") == 0
    assert_same(program, "accumulated", "accumulated-whole")


def test_packed_rows_and_a_teacher_of_theirs(program, monkeypatch):
    """Documents that share rows, with a teacher that reads the same rows: stopped inside a pass and at its end."""
    assert program("fit", "teacher", "--trainer.max_steps", "4") == 0
    checkpoint = torch.load(program.run_folder("teacher") / "checkpoints" / "last.ckpt", weights_only=True)
    student = yaml.safe_load((program.folder / "tiny.yaml").read_text())["model"]["student"]
    text = TextFiles(student["tokenizer"]["source"]["init_args"]["paths"])
    model = Student(architecture=student["architecture"], tokenizer=TrainedTokenizer(text, vocab_size=600))
    model.build()
    start = "student.model."
    state = {k.removeprefix(start): v for k, v in checkpoint["state_dict"].items() if k.startswith(start)}
    model.model.load_state_dict(state)
    model.model.save_pretrained(program.folder / "taught")
    model.tokenizer.save_pretrained(program.folder / "taught")
    kd = ("{class_path: research.objectives.Distillation, init_args: {stream: wiki, "
          "tokens: {class_path: research.data.masking.Masked}}}")  # fmt: skip
    more = ["--data.streams.wiki.init_args.pack", "best_fit", "--model.objectives.kd", kd, "--model.teacher",
            "research.models.LiveTeacher", "--model.teacher.init_args.backbone", "./taught"]  # fmt: skip
    monkeypatch.chdir(program.folder)
    assert program("fit", "packed-whole", *more) == 0
    rows = program.log("packed-whole")
    assert all(float(row["loss/kd"]) > 0 for row in rows if row["loss/kd"])
    log, stop = MetricsLog.on_train_batch_end, {}

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == stop.get("at"):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    for at in (7, 10):
        stop["at"] = at
        assert program("fit", f"packed-{at}", *more) == 128 + signal.SIGTERM
        stop.clear()
        assert program("fit", f"packed-{at}", *more, "--ckpt_path", "last") == 0
        assert_same(program, f"packed-{at}", "packed-whole")


def test_resuming_needs_the_same_config(program, capsys):
    assert program("fit", "other", "--trainer.max_steps", "4") == 0
    capsys.readouterr()
    assert program("fit", "other", "--ckpt_path", "last", "--model.objectives.nce.init_args.temperature", "0.1") == 2
    error = capsys.readouterr().err
    assert "model.objectives.nce.init_args.temperature" in error and "0.05" in error and "0.1" in error
