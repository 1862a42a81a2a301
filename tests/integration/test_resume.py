"""A run stopped anywhere goes on with the batches and losses of a run that was never stopped, bit for bit."""

import json
import os
import signal
import time

import pytest
import torch

from research.callbacks.metrics_log import MetricsLog
from research.checkpoints.reading import load_checkpoint
from research.models.checkpoint import Trained
from research.precision import native_bfloat16

SAMPLED = "{class_path: research.data.Sampled, init_args: {probabilities: {wiki: 0.6, intents: 0.4}, epoch: 7}}"
ANNEALED = (
    "{class_path: research.data.sampling.Temperature, init_args: "
    "{temperature: {start: 1.0, end: 8.0, shape: cosine}, at_least: {intents: 0.3}, epoch: 9}}"
)
DRIVEN = (
    "{class_path: research.data.sampling.LossDriven, init_args: "
    "{reference: {wiki: 4.0, intents: 1.0}, every: 5, smoothing: 0.4, epoch: 9}}"
)
ANCHORED = [  # all that remembers the first weights, and an average that is validated
    "--model.objectives.l2sp", "{class_path: research.objectives.L2SP}",
    "--model.objectives.ewc", "{class_path: research.objectives.EWC, init_args: {examples: 9, objective: "
    "{class_path: research.objectives.MaskedLM, init_args: {stream: wiki}}}}",
    "--model.optimisation.optimiser", "{class_path: research.optimisers.RecAdam, init_args: {t0: 9, gamma: 200}}",
    "--model.student.mixout", "0.3",
    "--trainer.callbacks", "[{class_path: research.callbacks.WeightAverage, init_args: {decay: 0.9}}]",
]  # fmt: skip
NO_EPOCHS = ["--trainer.check_val_every_n_epoch", "null"]
MODES = {
    "joint": [],
    "sampled": ["--data.mixture", SAMPLED, *NO_EPOCHS],
    "annealed": ["--data.mixture", ANNEALED, *NO_EPOCHS],
    "loss_driven": ["--data.mixture", DRIVEN, *NO_EPOCHS],
    "anchored": ANCHORED,
    "curriculum": ["--data.streams.wiki.init_args.curriculum", "{batches: 15}"],
    "bfloat16": ["--trainer.precision", "bf16-mixed", *ANCHORED],
}
STEPS = 25
STOPS = [1, 4, 5, 9, 10, 11, 15, 20, 24]  # first and last, before and after checkpoints, validations, epochs' edges
FEW = {
    "annealed": [11],
    "loss_driven": [13],
    "curriculum": [7],
    "anchored": [12],
    "bfloat16": [12],
}  # modes that differ from others in one thing only
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
    if mode == "bfloat16" and not native_bfloat16():
        pytest.skip("this machine only emulates bfloat16")
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


def test_a_damaged_last_checkpoint(program, monkeypatch, caplog):
    """It is passed over with a line, and the run goes on from the one before it; so it does with the last one gone."""
    more = ["--trainer.max_steps", "8", "--run.checkpoint_every", "3"]
    assert program("fit", "sound", *more) == 0
    log, stop = MetricsLog.on_train_batch_end, {}

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == stop.get("at"):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    for damage in ("torn", "altered", "lost"):
        stop["at"] = 4
        assert program("fit", damage, *more) == 128 + signal.SIGTERM
        stop.clear()
        last = program.run_folder(damage) / "checkpoints" / "last.ckpt"
        previous, content = last.with_name("previous.ckpt"), bytearray(last.read_bytes())
        if damage == "torn":
            last.write_bytes(content[: len(content) // 2])
        elif damage == "altered":
            content[len(content) // 2] ^= 1
            last.write_bytes(content)
            assert program("fit", damage, *more, "--ckpt_path", str(last)) == 2  # not replaced: it is asked for by name
        else:
            last.unlink()
        (last.parent / ".last.ckpt.new").write_bytes(content[:1000])  # as a kill leaves it
        caplog.clear()
        assert program("fit", damage, *more, "--ckpt_path", "last") == 0
        (line,) = (m for m in caplog.messages if "used instead" in m)
        assert line.startswith(f"--ckpt_path {last}: ") and line.endswith(f"; used instead: {previous}, of step 3")
        assert_same(program, damage, "sound")
        assert sorted(path.name for path in last.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
        assert [load_checkpoint(path)["global_step"] for path in (last, previous)] == [8, 6]


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


KD = "{class_path: research.objectives.Distillation, init_args: {stream: wiki, task: intents}}"


def stopped_runs_equal_the_whole(program, monkeypatch, name, more, stops):
    """Run it whole, then with a SIGTERM after each of some steps, and go on."""
    assert program("fit", f"{name}-whole", *more) == 0
    log, stop = MetricsLog.on_train_batch_end, {}

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == stop.get("at"):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    for at in stops:
        stop["at"] = at
        assert program("fit", f"{name}-{at}", *more) == 128 + signal.SIGTERM
        stop.clear()
        assert program("fit", f"{name}-{at}", *more, "--ckpt_path", "last") == 0
        assert_same(program, f"{name}-{at}", f"{name}-whole")


def test_a_run_that_is_bounded_by_epochs(program, monkeypatch):
    epochs = ["--trainer.max_steps", "-1", "--trainer.max_epochs", "2"]
    stopped_runs_equal_the_whole(program, monkeypatch, "epochs", epochs, [7, 10])


def test_a_teacher_that_follows_the_student(program, monkeypatch):
    ema = ["--model.teacher", "research.models.EMATeacher", "--model.teacher.init_args.decay", "0.8"]
    stopped_runs_equal_the_whole(program, monkeypatch, "ema", ["--model.objectives.kd", KD, *ema], [7, 10])
    assert all(float(row["loss/kd"]) > 0 for row in program.log("ema-whole") if row["loss/kd"] and row["step"] != "1")


def test_a_queue_of_keys(program, monkeypatch):
    """The queue is in the checkpoint; spans and chunks draw the same numbers again."""
    moco = "{class_path: research.objectives.MomentumContrast, init_args: {stream: wiki, queue: 30}}"
    spans = ("{class_path: research.objectives.SpanContrastive, init_args: "
             "{stream: wiki, positives: 2, shortest: 2, longest: 8}}")  # fmt: skip
    more = ["--model.teacher", "research.models.EMATeacher", "--model.objectives.moco", moco,
            "--model.objectives.spans", spans, "--model.student.chunk", "5"]  # fmt: skip
    stopped_runs_equal_the_whole(program, monkeypatch, "queue", more, [7])
    checkpoint = weights(program, "queue-whole")
    assert checkpoint["objectives.moco.queue"].any(1).all()


def test_a_teacher_from_a_run(program, capsys):
    """Born again: the next generation starts anew and learns from the last one, whose heads it asks."""
    assert program("fit", "parent") == 0
    path = program.run_folder("parent") / "checkpoints" / "last.ckpt"
    teacher = ["--model.teacher", "research.models.LiveTeacher", "--model.teacher.init_args.checkpoint", str(path)]
    more = ["--model.objectives.kd", KD, *teacher, "--trainer.max_steps", "3"]
    assert program("fit", "child", *more) == 0
    capsys.readouterr()
    assert program("fit", "child", *more[:-4], "--model.teacher.init_args.checkpoint", f"{path}x") == 2
    assert "model.teacher: checkpoint" in capsys.readouterr().err


def test_packed_rows_and_a_teacher_of_theirs(program, monkeypatch):
    """Documents that share rows, with a teacher that reads the same rows: stopped inside a pass and at its end."""
    assert program("fit", "taught", "--trainer.max_steps", "4") == 0
    teacher = Trained(str(program.run_folder("taught") / "checkpoints" / "last.ckpt"), "teacher")
    teacher.restore()
    teacher.student.model.save_pretrained(program.folder / "taught")
    teacher.student.tokenizer.save_pretrained(program.folder / "taught")
    kd = ("{class_path: research.objectives.Distillation, init_args: {stream: wiki, "
          "tokens: {class_path: research.data.masking.Masked}}}")  # fmt: skip
    more = ["--data.streams.wiki.init_args.pack", "best_fit", "--model.objectives.kd", kd, "--model.teacher",
            "research.models.LiveTeacher", "--model.teacher.init_args.backbone", "./taught"]  # fmt: skip
    monkeypatch.chdir(program.folder)
    stopped_runs_equal_the_whole(program, monkeypatch, "packed", more, [7, 10])
    assert all(float(row["loss/kd"]) > 0 for row in program.log("packed-whole") if row["loss/kd"])


def test_resuming_needs_the_same_config(program, capsys):
    assert program("fit", "other", "--trainer.max_steps", "4") == 0
    capsys.readouterr()
    assert program("fit", "other", "--ckpt_path", "last", "--model.objectives.nce.init_args.temperature", "0.1") == 2
    error = capsys.readouterr().err
    assert "model.objectives.nce.init_args.temperature" in error and "0.05" in error and "0.1" in error
