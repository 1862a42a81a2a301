"""What the module keeps from one call of a trainer to the next, and how objectives read before the first step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from research.data import MixtureDataModule, TaskDataModule
from research.data.sources import CSV
from research.models import EMATeacher
from research.module import HybridModule
from research.objectives import Contrastive, MomentumContrast
from research.step import Clean


@pytest.fixture
def fitted(tiny: Any, slices: Path, tmp_path: Path) -> Callable[[], tuple[HybridModule, Any, lightning.Trainer]]:
    def fitted() -> tuple[HybridModule, Any, lightning.Trainer]:
        student = tiny("bert", architecture={"max_position_embeddings": 64, "num_hidden_layers": 1}).float()
        objectives = {"nce": Contrastive("intents", mlp=True), "moco": MomentumContrast("intents", queue=8)}
        module = HybridModule(student, objectives, EMATeacher(0.5))
        csv = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
        data = MixtureDataModule({"intents": TaskDataModule(csv, batch_size=4, max_length=32)}, cache=str(tmp_path))
        trainer = lightning.Trainer(
            accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, limit_val_batches=1,
        )  # fmt: skip
        trainer.fit(module, data)
        return module, data, trainer

    return fitted


def test_validation_after_a_fit_measures_what_was_trained(fitted: Any) -> None:
    module, data, trainer = fitted()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    teacher = {name: tensor.clone() for name, tensor in module.teacher.state_dict().items()}
    assert before["objectives.moco.queue"].any() and "objectives.nce.pooler.0.weight" in before
    trainer.validate(module, data, verbose=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(torch.equal(tensor, teacher[name]) for name, tensor in module.teacher.state_dict().items())


def test_objectives_read_data_whatever_the_default_device_is(fitted: Any) -> None:
    """Lightning makes the accelerator the default where models are built; the meta device stands for one here."""
    module, _, _ = fitted()
    expected = list(module._read("intents", Clean()))
    with torch.device("meta"):
        found = list(module._read("intents", Clean()))
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine.labels, theirs.labels)
        assert torch.equal(mine.views[Clean()].ids, theirs.views[Clean()].ids)
        assert torch.equal(mine.views[Clean()].mask, theirs.views[Clean()].mask)
