"""Runs of the real program whose weights go to zero."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from research.callbacks import Sparsity
from research.callbacks.sparsity import lowest
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


def test_movement_takes_what_gradients_move_to_zero() -> None:
    """A weight that is large and on its way to zero goes; one that is small and on its way from it stays."""
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[2.0, 0.1]])
    moved = torch.zeros(1, 2)
    for gradient in (torch.tensor([[0.5, -0.5]]),) * 3:
        moved = moved - linear.weight.detach() * gradient
        linear.weight.data -= 0.1 * gradient
    assert lowest(moved, 0.5).tolist() == [[True, False]]
    assert lowest(linear.weight.detach().abs(), 0.5).tolist() == [[False, True]]


def test_schedule_is_cubic() -> None:
    callback = Sparsity(0.8, start=0.2, end=0.6)
    assert [callback.now(t) for t in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.8 * 0.875, 0.8, 0.8])


@pytest.mark.parametrize("given", [{"share": 1.0}, {"share": 0.5, "start": 0.7, "end": 0.7}, {"share": 0.5, "end": 2}])
def test_bounds(given: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"trainer.callbacks: Sparsity: (share|start) is"):
        Sparsity(**given)
