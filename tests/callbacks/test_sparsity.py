"""Runs of the real program whose weights go to zero."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from research.callbacks import Sparsity
from research.callbacks.sparsity import maps as maps_of
from research.errors import UserError
from research.terminal import run_command


@pytest.fixture
def run(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    text = (Path(__file__).parents[1] / "integration" / "tiny.yaml").read_text().replace("SLICES", str(slices))
    (tmp_path / "tiny.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    def run(command: str, name: str, *more: str, **given: object) -> Path:
        monkeypatch.delenv("HYBRID_RUN_FOLDER", raising=False)
        callback = {"class_path": "research.callbacks.Sparsity", "init_args": given}
        line = [command, "--config", "tiny.yaml", "--trainer.max_steps", "8", "--run.name", name, *more]
        assert run_command([*line, "--trainer.callbacks+", json.dumps(callback)]) == 0
        return Path("runs") / name

    return run


def maps(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {n: w for n, w in state.items() if ".encoder.layer." in n and w.dim() == 2}


def test_share_of_each_map_is_zero_and_told(run: Callable[..., Path]) -> None:
    folder = run("fit", "small", share=0.6, end=0.5)
    weights = maps(folder)
    assert len(weights) == 12
    for weight in weights.values():
        assert float((weight == 0).float().mean()) == pytest.approx(0.6, abs=1 / weight.numel())
    run("test", "small", "--ckpt_path", "last", share=0.6)
    assert json.loads((folder / "test.json").read_text())["test/sparsity"] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("by", ["magnitude", "movement"])
def test_stopped_run_goes_on_with_the_same_weights(by: str, run: Callable[..., Path]) -> None:
    folder = run("fit", "straight", share=0.5, by=by)
    straight = maps(folder)
    before = str(folder / "checkpoints" / "previous.ckpt")  # of step 4 of 8
    run("fit", "straight", "--ckpt_path", before, share=0.5, by=by)
    assert all(torch.equal(weight, straight[name]) for name, weight in maps(folder).items())


@pytest.mark.parametrize("other", ["LossGuard", "WeightAverage"])
def test_weights_of_other_steps_are_refused(
    other: str, run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        run("fit", "beside", "--trainer.callbacks+", f"research.callbacks.{other}", share=0.5)
    assert f"trainer.callbacks: Sparsity masks weights that {other} replaces" in capsys.readouterr().err


class Lowest(torch.autograd.Function):
    """0 for the lowest of scores and 1 for others, whose gradient passes straight through (Sanh et al. 2020)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, count: int) -> Tensor:
        return (scores > scores.flatten().kthvalue(count).values).to(scores)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None


STEPS, RATE, SHARE = 24, 0.02, 0.5


def share_after(step: int) -> float:
    return SHARE * (1 - (1 - min(step / STEPS / 0.7, 1)) ** 3)


def by_autograd(student: Any, names: list[str], by: str, loss: Callable[..., Tensor]) -> list[dict[str, Tensor]]:
    """The masked weights after each step, where masks and their scores are part of the graph."""
    weights = {name: child.detach().clone().requires_grad_() for name, child in student.model.named_parameters()}
    scores = {name: torch.zeros_like(weights[name], requires_grad=True) for name in names}
    optimiser = torch.optim.SGD(weights.values(), RATE)

    def masked(step: int) -> dict[str, Tensor]:
        made = dict(weights)
        for name in names if step else ():
            count = round(share_after(step) * weights[name].numel())
            score = scores[name] if by == "movement" else weights[name].detach().abs()
            made[name] = weights[name] * Lowest.apply(score, count)
        if not step:  # a mask of ones, so that the scores get their gradient
            made |= {name: weights[name] * (1 + scores[name]) for name in names}
        return made

    found = []
    for step in range(STEPS):
        loss(step, masked(step)).backward()
        optimiser.step()
        for score in scores.values():
            score.data -= score.grad if score.grad is not None else 0.0
            score.grad = None
        optimiser.zero_grad()
        found.append({name: masked(step + 1)[name].detach() for name in names})
    return found


@pytest.mark.parametrize("by", ["magnitude", "movement"])
def test_masks_are_those_of_autograd(by: Any, tiny: Callable[..., Any]) -> None:
    """In each step; many a weight comes back, by movement since its score goes on behind the mask."""
    student = tiny("bert")
    module: Any = SimpleNamespace(student=student, total_steps=STEPS)
    ids = torch.arange(5, 5 + 8 * STEPS).view(STEPS, 2, 4)
    wanted = torch.randn(STEPS, 2, 4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(step: int, weights: dict[str, Tensor]) -> Tensor:
        states = torch.func.functional_call(student.model, weights, kwargs={
            "input_ids": ids[step], "output_hidden_states": True}).hidden_states[-1]  # fmt: skip
        return (states - wanted[step]).square().mean()

    own = {id(weight) for weight in maps_of(module).values()}
    names = [name for name, weight in student.model.named_parameters() if id(weight) in own]
    assert len(names) == 12
    expected = by_autograd(student, names, by, loss)

    given = dict(student.model.named_parameters())
    callback, optimiser = Sparsity(SHARE, by), torch.optim.SGD(given.values(), RATE)
    trainer: Any = SimpleNamespace(global_step=0)
    callback.on_train_start(trainer, module)
    for step, of_step in enumerate(expected):
        loss(step, given).backward()
        callback.on_before_optimizer_step(trainer, module, optimiser)
        optimiser.step()
        optimiser.zero_grad()
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, module)
        for name, weight in of_step.items():
            torch.testing.assert_close(given[name].data, weight, rtol=1e-9, atol=1e-12)
    back = sum(
        int(((before[name] == 0) & (after[name] != 0)).sum()) for before, after in pairwise(expected) for name in names
    )
    assert back > 10


def test_schedule_is_cubic() -> None:
    callback = Sparsity(0.8, start=0.2, end=0.6)
    assert [callback.now(t) for t in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.8 * 0.875, 0.8, 0.8])


@pytest.mark.parametrize("given", [{"share": 1.0}, {"share": 0.5, "start": 0.7, "end": 0.7}, {"share": 0.5, "end": 2}])
def test_bounds(given: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"trainer.callbacks: Sparsity: (share|start) is"):
        Sparsity(**given)
