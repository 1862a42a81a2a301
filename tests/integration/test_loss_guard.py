"""Real runs in which one example makes the loss or the gradient not finite, or the loss leap."""

import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import median_abs_deviation

from research.callbacks.loss_guard import LossGuard, bound
from research.callbacks.metrics_log import MetricsLog
from research.terminal import run_command

HERE = Path(__file__).parent
GUARD = "{class_path: research.callbacks.LossGuard, init_args: {%s}}"
WITNESS = "{class_path: poisoned.Witness, init_args: {folder: %s}}"
DYNAMIC = "{class_path: research.weighting.DynamicWeightAverage, init_args: {every: 7}}"


@pytest.fixture(autouse=True)
def importable(program, monkeypatch):
    shutil.copy(HERE / "poisoned.py", program.folder)
    monkeypatch.syspath_prepend(str(program.folder))
    yield
    sys.modules.pop("poisoned", None)


def poisoned(what, guard="", more=""):
    ce = f"{{class_path: poisoned.Poisoned, init_args: {{stream: intents, what: {what}{more}}}}}"
    return ["--model.objectives.ce", ce, "--trainer.callbacks", f"[{GUARD % guard}]"]


def witnessed(folder, rank=0):
    """A digest a step; the steps, from 1, that left weights and moments alone; those that had the bad example."""
    digests, poisoned = zip(*map(str.split, (folder / f"rank{rank}.txt").read_text().splitlines()), strict=True)
    alike = [i + 1 for i in range(1, len(digests)) if digests[i] == digests[i - 1]]
    return digests, alike, [i + 1 for i, there in enumerate(poisoned) if there == "1"]


def bad_steps(program, name):
    """The steps at which the log says that one more was bad."""
    counts = [(int(row["step"]), int(float(row["bad_steps"]))) for row in program.log(name) if row["bad_steps"]]
    before = [0, *(count for _, count in counts)]
    return [step for (step, count), last in zip(counts, before, strict=False) if count > last]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_left_out(program, tmp_path, caplog, what):
    """With a weighting that remembers losses: nothing of the step is left in it either."""
    more = poisoned(what)
    more[-1] = f"[{GUARD % ''}, {WITNESS % tmp_path}]"
    assert program("fit", f"left-out-{what}", *more, "--model.weighting", DYNAMIC) == 0
    bad = bad_steps(program, f"left-out-{what}")
    digests, unchanged, poison = witnessed(tmp_path)
    assert len(digests) == 25 and bad == unchanged == poison and 2 <= len(bad) <= 3  # an example a pass of ten steps
    told = "the loss of ce" if what == "loss" else "the gradient"
    assert f"step {bad[0]}: {told} is not finite; the step is left out" in caplog.messages
    rows = {int(row["step"]): row for row in program.log(f"left-out-{what}") if row["loss"]}
    for step, row in rows.items():
        assert math.isfinite(float(row["gradient_norm"])) == (step not in bad)
        assert math.isfinite(float(row["loss/ce"])) == (what == "gradient" or step not in bad)
    saved = torch.load(program.run_folder(f"left-out-{what}") / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.as_tensor(v).isfinite().all() for k, v in saved["state_dict"].items() if "blocks" not in k)
    moments = saved["optimizer_states"][0]["state"].values()
    assert {int(state["step"]) for state in moments} == {25 - len(bad)}
    fit = json.loads((program.run_folder(f"left-out-{what}") / "fit.json").read_text())
    assert fit["bad_steps"] == {"not_finite": len(bad), "spikes": 0, "rolled_back": 0} and fit["steps"] == 25
    assert (
        run_command(["report", str(program.run_folder(f"left-out-{what}"))]) == 0
    )  # its plots and checks bear the gap


def test_without_a_guard_the_run_ends(program, capsys):
    assert program("fit", "unguarded", *poisoned("loss")[:2]) == 2
    told = capsys.readouterr().err
    assert "the loss of ce is not finite" in told and "LossGuard" in told


def test_it_gives_up(program, capsys):
    assert program("fit", "given-up", *poisoned("loss", "give_up: 4", ", always: true")) == 2
    told = capsys.readouterr().err
    assert "error: step 4: the loss of ce is not finite, the bad step number 4 in a row; lower" in told


def test_a_spike_is_undone_back_to_the_last_checkpoint(program, monkeypatch):
    log, seen = MetricsLog.on_train_batch_end, {}

    def look(self, trainer, module, *args):
        log(self, trainer, module, *args)
        last = program.run_folder("undone") / "checkpoints" / "last.ckpt"
        optimiser = trainer.optimizers[0].state_dict()
        seen[trainer.global_step] = (
            {name: value.clone() for name, value in module.state_dict().items()},
            {i: {k: v.clone() for k, v in s.items()} for i, s in optimiser["state"].items()},
            optimiser["param_groups"][0]["lr"],
            torch.load(last, weights_only=True) if last.exists() else None,
        )

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", look)
    schedule = ["--model.optimisation.schedule", "research.schedules.Linear"]
    assert program("fit", "undone", *poisoned("spike", "action: roll_back, spike: 8, window: 10"), *schedule) == 0
    bad = bad_steps(program, "undone")
    assert bad and bad[0] > 10 and bad[0] % 4 != 0  # else the checkpoint would be of the step before
    for step in bad:
        weights, moments, lr, saved = seen[step]
        assert saved["global_step"] < step
        assert all(torch.equal(value, saved["state_dict"][name]) for name, value in weights.items())
        for i, state in saved["optimizer_states"][0]["state"].items():
            assert all(torch.equal(value, moments[i][name]) for name, value in state.items())
        assert lr < seen[step - 1][2] <= saved["optimizer_states"][0]["param_groups"][0]["lr"]  # the plan goes on
    steps = [int(row["step"]) for row in program.log("undone") if row["loss"]]
    assert steps == list(range(1, 26))
    fit = json.loads((program.run_folder("undone") / "fit.json").read_text())
    assert fit["bad_steps"] == {"not_finite": 0, "spikes": len(bad), "rolled_back": len(bad)}


@pytest.mark.parametrize("action", ["skip", "roll_back"])
def test_a_stopped_run_goes_on_as_one_never_stopped(program, monkeypatch, action):
    guard = f"action: {action}, spike: 8, window: 10"
    more = poisoned("spike", guard)
    whole, name = f"guarded-{action}", f"guarded-{action}-stopped"
    assert program("fit", whole, *more) == 0
    last = bad_steps(program, whole)[-1]
    stop = [last // 4 * 4]  # where a checkpoint lies anyway: one of another step would be what is gone back to
    log = MetricsLog.on_train_batch_end

    def signal_self(self, trainer, *args):
        log(self, trainer, *args)
        if stop and trainer.global_step == stop[0]:
            stop.clear()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    assert program("fit", name, *more) == 128 + signal.SIGTERM
    assert program("fit", name, *more, "--ckpt_path", "last") == 0
    assert program.log(name) == program.log(whole)
    weights = [torch.load(program.run_folder(n) / "checkpoints/last.ckpt", weights_only=True) for n in (whole, name)]
    for key, value in weights[0]["state_dict"].items():
        assert torch.equal(value, weights[1]["state_dict"][key]), key


def test_two_processes_leave_out_a_step_that_one_of_them_sees(program, tmp_path):
    more = poisoned("loss")
    more[-1] = f"[{GUARD % ''}, {WITNESS % tmp_path}]"
    process = program.start("fit", "pair", *more, "--trainer.max_steps", "12", "--trainer.devices", "2",
                            "--trainer.strategy", "ddp_find_unused_parameters_true")  # fmt: skip
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    bad = bad_steps(program, "pair")
    (first, unchanged, here), (second, same, there) = witnessed(tmp_path, 0), witnessed(tmp_path, 1)
    assert first == second and unchanged == same == bad == sorted(here + there) and bad
    assert not set(here) & set(there), "both have seen it"


def test_the_bound_is_that_of_scipy():
    losses = np.random.default_rng(0).gamma(2.0, size=101)
    expected = np.median(losses) + 8 * median_abs_deviation(losses, scale="normal")
    assert bound(losses, 8.0) == pytest.approx(expected, rel=1e-4)
    assert bound(np.full(10, 2.0), 5.0) == pytest.approx(2.1)


@pytest.mark.parametrize(("given", "told"), [({"spike": 0.0}, "spike is 0.0"), ({"window": 3}, "window is 3"),
                                             ({"give_up": 0}, "give_up is 0")])  # fmt: skip
def test_settings_out_of_range(given, told):
    with pytest.raises(Exception, match=told):
        LossGuard(**given)
