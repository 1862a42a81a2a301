"""The moving average by hand: what validation sees, what the checkpoint keeps, and a run that goes on."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from research.callbacks.weight_average import WeightAverage
from research.errors import UserError


class Line(L.LightningModule):
    """Learns a line; notes its weight after each batch and in each validation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Linear(3, 1)
        self.student.bias.requires_grad_(False)
        self.after: list[Tensor] = [self.student.weight.detach().clone()]
        self.validated: list[Tensor] = []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return (self.student(batch) - batch.sum(1, keepdim=True)).square().mean()

    def on_train_batch_end(self, *args: Any) -> None:
        self.after.append(self.student.weight.detach().clone())

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.validated.append(self.student.weight.detach().clone())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([self.student.weight], lr=0.1)


def trainer(folder: Path, steps: int, **given: Any) -> L.Trainer:
    return L.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[WeightAverage(0.8)], default_root_dir=folder, num_sanity_val_steps=0,
        **given,
    )  # fmt: skip


def batches(*order: int) -> Any:
    examples = torch.randn(6, 4, 3, generator=torch.manual_seed(1))
    return torch.utils.data.DataLoader([examples[i] for i in order or range(6)], batch_size=None)


def averages(weights: list[Tensor]) -> list[Tensor]:
    out = [weights[0]]
    for weight in weights[1:]:
        out.append(0.8 * out[-1] + 0.2 * weight)
    return out


def test_validates_and_keeps_the_average(tmp_path: Path) -> None:
    module, run = Line(), trainer(tmp_path, 6, val_check_interval=3)
    run.fit(module, batches(), batches(5))
    expected = averages(module.after)
    for got, want in zip(module.validated, (expected[3], expected[6]), strict=True):
        torch.testing.assert_close(got, want)
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.testing.assert_close(saved["state_dict"]["student.weight"], expected[6])
    assert torch.equal(saved["trained"]["student.weight"], module.after[6])
    tested = Line()
    trainer(tmp_path, 6).validate(tested, batches(5), ckpt_path=tmp_path / "last.ckpt", verbose=False)
    torch.testing.assert_close(tested.validated[0], expected[6])


def test_goes_on_exactly(tmp_path: Path) -> None:
    whole, half, rest = Line(), Line(), Line()
    trainer(tmp_path, 6).fit(whole, batches())
    run = trainer(tmp_path, 2)
    run.fit(half, batches(0, 1))
    run.save_checkpoint(tmp_path / "half.ckpt")
    run = trainer(tmp_path, 6)
    run.fit(rest, batches(2, 3, 4, 5, 0, 1), ckpt_path=tmp_path / "half.ckpt")  # Lightning's own loader is at its 3rd
    assert torch.equal(rest.after[-1], whole.after[-1])
    run.save_checkpoint(tmp_path / "rest.ckpt")
    average = torch.load(tmp_path / "rest.ckpt", weights_only=True)["state_dict"]["student.weight"]
    torch.testing.assert_close(average, averages(whole.after)[-1])


def test_counts_optimiser_steps(tmp_path: Path) -> None:
    module, run = Line(), trainer(tmp_path, 3, accumulate_grad_batches=2)
    run.fit(module, batches())
    run.save_checkpoint(tmp_path / "last.ckpt")
    average = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["student.weight"]
    torch.testing.assert_close(average, averages(module.after[::2])[-1])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_impossible_decay(decay: float) -> None:
    with pytest.raises(UserError, match=r"decay is .*; it must lie in \[0, 1\)"):
        WeightAverage(decay)
