"""An objective of weight 0 costs nothing: neither its loss nor the forward of its views is computed."""

from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from research.data.stream import StreamInfo
from research.errors import UserError
from research.module import HybridModule
from research.objectives import Classification, MaskedLM
from research.step import Step
from research.weighting import Fixed, Ramp, Scheduled, Weighting

STEPS = 6


class Counted(MaskedLM):
    """Masked language modelling that notes in which steps it ran."""

    ran: list[int]

    def forward(self, step: Step) -> Tensor:
        self.ran.append(len(self.ran))
        return super().forward(step)


class Run:
    """Some real steps of training, and what they did."""

    def __init__(self, tiny: Any, texts: list[str], batch_of: Any, weighting: Weighting, alone: bool = False) -> None:
        self.counted = Counted("s")
        self.counted.ran = []
        objectives: dict[str, Any] = {"mlm": self.counted}
        if not alone:
            objectives["ce"] = Classification("s")
        student = tiny("bert").float()
        self.module = HybridModule(student, objectives, weighting=weighting)
        self.module.streams = {"s": StreamInfo("classify", ("a", "b"))}
        batch = batch_of(student, texts, [*objectives["mlm"].views(), *Classification("s").views()], [0, 1] * 4)
        self.rows: list[int] = []
        self.weights: list[dict[str, float]] = []
        base = student.model.base_model
        base.register_forward_hook(lambda model, given, out: self.rows.append(len(out.last_hidden_state)))
        self.trainer = Trainer(
            max_steps=STEPS, max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        self.trainer.fit(self.module, DataLoader([{"s": batch}] * 2 * STEPS, batch_size=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("weighting", [Fixed({"mlm": 0.0}), Scheduled({"mlm": 0.0})])
def test_weight_zero(weighting: Weighting, tiny: Any, texts: list[str], batch_of: Any) -> None:
    run = Run(tiny, texts, batch_of, weighting)
    assert run.trainer.global_step == STEPS
    assert run.counted.ran == [] and run.rows == [len(texts)] * STEPS, "the clean view alone was encoded"
    assert "loss/mlm" not in run.module.figures and run.module.figures["loss/ce"] == run.module.figures["loss"]


def test_weight_of_some_steps(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """The masked view is encoded, beside the clean one, in the first half alone."""
    run = Run(tiny, texts, batch_of, Scheduled({"mlm": Ramp(0.5, 0.0, "step", 0.5)}))
    assert run.rows == [2 * len(texts)] * 3 + [len(texts)] * 3 and len(run.counted.ran) == 3


def test_no_objective_in_some_steps(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Such steps learn nothing, and the run goes on to its end."""
    run = Run(tiny, texts, batch_of, Scheduled({"mlm": Ramp(0.0, 1.0, "step", 0.5)}), alone=True)
    assert run.trainer.global_step == STEPS
    assert run.rows == [len(texts)] * 3 and len(run.counted.ran) == 3


def test_weights_of_a_step_are_kept_for_the_loggers(tiny: Any, texts: list[str], batch_of: Any) -> None:
    figures = Run(tiny, texts, batch_of, Fixed({"mlm": 0.25})).module.figures
    assert figures["weight/mlm"] == 0.25 and figures["weight/ce"] == 1.0
    torch.testing.assert_close(figures["weighted/mlm"], 0.25 * figures["loss/mlm"])
    torch.testing.assert_close(figures["loss"], figures["weighted/mlm"] + figures["weighted/ce"])


def test_unknown_names_are_refused_when_the_module_is_made(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"model.weighting.weights.mml: no such objective; there are mlm"):
        HybridModule(tiny("bert"), {"mlm": MaskedLM("s")}, weighting=Fixed({"mml": 1.0}))
    with pytest.raises(UserError, match=r"model.objectives: give at least one"):
        HybridModule(tiny("bert"), {})
