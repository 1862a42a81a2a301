"""Norms and cosines of the objectives' gradients, against those that training itself gives the backbone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from research.callbacks import ObjectiveGradients
from research.data import CorpusDataModule, MixtureDataModule, TaskDataModule
from research.data.sources import CSV, TextFiles
from research.errors import UserError
from research.module import HybridModule
from research.objectives import Classification, Contrastive, MaskedLM
from research.weighting import Fixed

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Seen(lightning.Callback):
    """The gradient of the backbone in the first step of the optimiser, and the figures of each batch."""

    def __init__(self) -> None:
        self.backbone: torch.Tensor | None = None
        self.figures: list[dict[str, float]] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        parts = [p for layer in pl_module.student.shared() for p in layer]
        self.backbone = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parts]
        )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.figures.append({name: float(value) for name, value in pl_module.figures.items()})


@pytest.fixture
def fit(tiny: Callable[..., Any], slices: Path, tmp_path: Path) -> Callable[..., Seen]:
    def fit(weights: dict[str, float], *callbacks: Any, steps: int = 1, layers: int = 0, **trainer: Any) -> Seen:
        student = tiny("bert", architecture={"max_position_embeddings": 64, **QUIET}, freeze_layers=layers).float()
        objectives = {"mlm": MaskedLM("wiki"), "nce": Contrastive("wiki"), "ce": Classification("intents")}
        module = HybridModule(student, objectives, weighting=Fixed(weights))  # type: ignore[arg-type]
        wiki = CorpusDataModule(TextFiles(str(slices / "wikitext.txt"), unit="line"), batch_size=4, max_length=32)
        csv = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
        streams = {"wiki": wiki, "intents": TaskDataModule(csv, batch_size=4, max_length=32)}
        seen = Seen()
        lightning.Trainer(
            accelerator="cpu", max_steps=steps, callbacks=[*callbacks, seen], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
            **{"log_every_n_steps": 1, **trainer},
        ).fit(module, MixtureDataModule(streams, cache=str(tmp_path)))  # fmt: skip  # type: ignore[arg-type]
        return seen

    return fit


NONE = {"mlm": 0.0, "nce": 0.0, "ce": 0.0}


@pytest.mark.parametrize(("parts", "batches"), [(1, 1), (3, 2)])
def test_against_the_gradients_of_each_objective_alone(fit: Callable[..., Seen], parts: int, batches: int) -> None:
    """Whatever the weights, the parts, and the batches of a step are, in which a batch has the share of its loss."""
    plain = {name: fit({**NONE, name: 1.0}) for name in NONE}
    alone = {name: seen.backbone for name, seen in plain.items()}
    weights = {"mlm": 3.0, "nce": 0.1, "ce": 1.0}
    figures = fit(weights, ObjectiveGradients(1, parts), accumulate_grad_batches=batches).figures[0]
    for name, vector in alone.items():
        share = figures[f"loss/{name}"] / plain[name].figures[0][f"loss/{name}"]
        assert (share != pytest.approx(1.0)) == (batches > 1 and name == "mlm")
        assert vector is not None
        assert figures[f"gradient/{name}"] == pytest.approx(share * float(vector.norm()), rel=1e-4)
    for pair in (("mlm", "nce"), ("mlm", "ce"), ("nce", "ce")):
        one, other = (alone[name] for name in pair)
        expected = float(torch.cosine_similarity(one, other, dim=0))  # type: ignore[arg-type]
        assert figures["cosine/" + "/".join(pair)] == pytest.approx(expected, abs=1e-4)


def test_every_so_many_batches_and_nothing_is_changed(fit: Callable[..., Seen]) -> None:
    plain, measured = fit({}, steps=5), fit({}, ObjectiveGradients(2), steps=5)
    with_it = [any(name.startswith("gradient/") for name in figures) for figures in measured.figures]
    assert with_it == [False, True, False, True, False]
    ours = [{n: v for n, v in f.items() if not n.startswith(("gradient/", "cosine/"))} for f in measured.figures]
    assert ours == plain.figures
    assert plain.backbone is not None and torch.equal(plain.backbone, measured.backbone)  # type: ignore[arg-type]


def test_what_has_no_meaning_is_refused(fit: Callable[..., Seen]) -> None:
    with pytest.raises(UserError, match="ObjectiveGradients: every is 0; it must be at least 1"):
        ObjectiveGradients(0)
    with pytest.raises(UserError, match=r"every is 5; it must be a multiple of trainer\.log_every_n_steps 2"):
        fit({}, ObjectiveGradients(5), log_every_n_steps=2)
    with pytest.raises(UserError, match="needs a backbone to train"):
        fit({}, ObjectiveGradients(1), layers=-1)
