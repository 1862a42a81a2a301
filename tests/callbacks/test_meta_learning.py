"""Reptile and first-order MAML against their loops written out, under a real Trainer."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from research.callbacks import FirstOrderMAML, Reptile
from research.callbacks.meta_learning import MetaLearning
from research.errors import UserError

INNER = 0.1


def batches(count: int) -> TensorDataset:
    generator = torch.manual_seed(1)
    return TensorDataset(torch.randn(count, 4, 3, generator=generator), torch.randn(count, 4, generator=generator))


class Line(LightningModule):
    """Least squares, and a second head that no batch reads."""

    def __init__(self, optimiser: type[torch.optim.Optimizer], **settings: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line, self.other = nn.Linear(3, 1), nn.Linear(3, 1)
        self.optimiser, self.settings = optimiser, settings
        self.losses: list[float] = []
        self.data = batches(12)

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        loss = error(self.line, *self.data[self.global_step])  # the batch of a step, resumed or not
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimiser(self.parameters(), **self.settings)


def error(line: Any, x: Tensor, y: Tensor) -> Tensor:
    return (line(x).squeeze(-1) - y).square().mean()


def trained(
    meta: MetaLearning, steps: int, folder: Path, module: Line, checkpoint: Path | None = None, **given: Any
) -> Trainer:
    settings: dict[str, Any] = {
        "max_steps": steps, "callbacks": [meta], "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "default_root_dir": folder,
    }  # fmt: skip
    trainer = Trainer(**settings | given)
    trainer.fit(module, DataLoader(range(steps)), ckpt_path=checkpoint, weights_only=True)
    return trainer


def gradient(weights: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    weight, bias = (w.clone().requires_grad_() for w in weights)
    return list(torch.autograd.grad(error(lambda x: F.linear(x, weight, bias), x, y), [weight, bias]))


def test_reptile_goes_part_of_the_way(tmp_path: Path) -> None:
    """With plain descent of rate epsilon k alpha outside: phi + epsilon (phi_k - phi)."""
    k, epsilon = 3, 0.4
    module = Line(torch.optim.SGD, lr=epsilon * k * INNER)
    phi = [p.detach().clone() for p in module.line.parameters()]
    data = module.data
    for episode in range(2):
        inner = phi
        for step in range(k):
            inner = [w - INNER * g for w, g in zip(inner, gradient(inner, *data[episode * k + step]), strict=True)]
        phi = [w + epsilon * (end - w) for w, end in zip(phi, inner, strict=True)]
    trained(Reptile(k, INNER), 6, tmp_path, module)
    torch.testing.assert_close([p.detach() for p in module.line.parameters()], phi, rtol=0, atol=1e-6)


def test_first_order_maml_descends_along_the_query_gradient(tmp_path: Path) -> None:
    """Under AdamW, which must see the outer gradients alone."""
    k = 2
    module = Line(torch.optim.AdamW, lr=0.05, weight_decay=0.1)
    phi = [p.detach().clone() for p in module.line.parameters()]
    outer, data = torch.optim.AdamW(phi, lr=0.05, weight_decay=0.1), module.data
    for episode in range(3):
        inner = [w.clone() for w in phi]
        for step in range(k):
            inner = [w - INNER * g for w, g in zip(inner, gradient(inner, *data[3 * episode + step]), strict=True)]
        for w, g in zip(phi, gradient(inner, *data[3 * episode + k]), strict=True):
            w.grad = g
        outer.step()
    untouched = [p.detach().clone() for p in module.other.parameters()]
    trained(FirstOrderMAML(k, INNER), 9, tmp_path, module)
    torch.testing.assert_close([p.detach() for p in module.line.parameters()], phi, rtol=0, atol=1e-6)
    assert all(torch.equal(p, old) for p, old in zip(module.other.parameters(), untouched, strict=True))


@pytest.mark.parametrize("meta", [Reptile, FirstOrderMAML])
def test_goes_on_inside_an_episode(meta: Any, tmp_path: Path) -> None:
    whole, first, again = (Line(torch.optim.AdamW, lr=0.05) for _ in range(3))
    trained(meta(3, INNER), 12, tmp_path, whole)
    checkpoints = tmp_path / "checkpoints"

    save = ModelCheckpoint(checkpoints, "{step}", every_n_train_steps=5, save_top_k=-1)
    callback = meta(3, INNER)
    trained(callback, 12, tmp_path, first, callbacks=[callback, save], enable_checkpointing=True)
    trained(meta(3, INNER), 12, tmp_path, again, checkpoints / "step=5.ckpt")
    assert again.losses == whole.losses[5:]
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))


@pytest.mark.parametrize(
    ("meta", "given", "told"),
    [
        (Reptile(4), {}, r"trainer\.max_steps is 6; Reptile needs a multiple of 4"),
        (FirstOrderMAML(3), {}, r"trainer\.max_steps is 6; FirstOrderMAML needs a multiple of 4"),
        (Reptile(3), {"accumulate_grad_batches": 2}, r"trainer\.callbacks: Reptile needs .*accumulate_grad_batches 1"),
    ],
)
def test_refused(meta: MetaLearning, given: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        trained(meta, 6, tmp_path, Line(torch.optim.SGD, lr=0.1), **given)


def test_settings_out_of_range() -> None:
    with pytest.raises(UserError, match=r"trainer\.callbacks: Reptile: inner_steps is 0; it must be at least 1"):
        Reptile(0)
    with pytest.raises(UserError, match=r"trainer\.callbacks: FirstOrderMAML: inner_lr is 0; it must be above 0"):
        FirstOrderMAML(inner_lr=0)
