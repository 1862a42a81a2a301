"""Gradient aggregation against TorchJD's own aggregation of an explicit Jacobian."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import CausalLM, Classification, MaskedLM, SpanCorruption
from research.step import Step
from research.weighting import Aggregation

jd = pytest.importorskip("torchjd.aggregation", reason="the extra torchjd is not installed")
AGGREGATORS: dict[str, Callable[[], nn.Module]] = {
    "upgrad": jd.UPGrad,
    "mgda": jd.MGDA,
    "cagrad": lambda: jd.CAGrad(c=0.4),
    "pcgrad": jd.PCGrad,
}
NAMES = ["a", "b", "c"]
WEIGHTS = {"a": 1.0, "b": 0.5, "c": 2.0}


class Toy(nn.Module):
    """A trunk, a head an objective, and a parameter that no loss reads; objectives a and b contradict each other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.Tanh())
        self.heads = nn.ModuleDict({name: nn.Linear(4, 1) for name in NAMES})
        self.heads["b"].load_state_dict(self.heads["a"].state_dict())
        self.unread = nn.Parameter(torch.zeros(3))
        self.double()
        self.x = torch.randn(6, 5, dtype=torch.float64)

    def shared(self) -> list[list[nn.Parameter]]:
        return [list(self.trunk[2].parameters()), list(self.trunk[0].parameters())]

    def losses(self, names: list[str] = NAMES) -> dict[str, Tensor]:
        target = {"a": 1.0, "b": -1.0, "c": self.x[:, :1]}
        hidden = self.trunk(self.x)
        return {name: (self.heads[name](hidden) - target[name]).square().mean() for name in names}


def jacobian(losses: dict[str, Tensor], parameters: list[nn.Parameter], weights: dict[str, float]) -> Tensor:
    """(K, n), a row a weighted loss."""
    rows = []
    for name, loss in losses.items():
        parts = torch.autograd.grad(weights[name] * loss, parameters, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def flat(parameters: list[nn.Parameter]) -> Tensor:
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])


def built(toy: Toy, weights: dict[str, float] = WEIGHTS, **given: Any) -> Aggregation:
    weighting = Aggregation(weights=dict(weights), **given)
    weighting.build(NAMES, toy.shared(), list(toy.parameters()))
    return weighting


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("name", AGGREGATORS)
def test_equals_torchjd_on_the_explicit_jacobian(name: str, parts: int) -> None:
    toy = Toy()
    trunk = list(toy.trunk.parameters())
    losses = toy.losses()
    torch.manual_seed(3)  # PCGrad draws an order
    expected = AGGREGATORS[name]()(jacobian(losses, trunk, WEIGHTS))
    sum(WEIGHTS[name] * loss for name, loss in losses.items()).backward()
    plain = flat(trunk)
    heads = {name: p.grad.clone() for name, p in toy.heads.named_parameters()}
    toy.zero_grad()

    weighting = built(toy, aggregator=AGGREGATORS[name](), parts=parts)
    loss, planned = weighting(toy.losses(), 0.0)
    torch.manual_seed(3)
    used = weighting.backward(loss)
    tolerance = {"atol": 1e-5, "rtol": 1e-4} if name == "cagrad" else {}  # its solver stops there
    torch.testing.assert_close(flat(trunk), expected, **tolerance)
    assert not torch.allclose(flat(trunk), plain, rtol=1e-2), "the objectives do not disturb each other: shows nothing"
    for head, p in toy.heads.named_parameters():
        torch.testing.assert_close(p.grad, heads[head])
    assert toy.unread.grad is None, "or AdamW would decay what no loss reads"
    combined = sum(
        used[n] / WEIGHTS[n] * row for n, row in zip(NAMES, jacobian(toy.losses(), trunk, WEIGHTS), strict=True)
    )
    torch.testing.assert_close(combined, flat(trunk), rtol=1e-4, atol=1e-6)
    assert planned == WEIGHTS


def test_upgrad_harms_no_objective() -> None:
    """It has no part against any gradient, where the sum has one against that of the weaker of two opponents."""
    toy, weights = Toy(), {"a": 1.0, "b": 0.2}
    trunk = list(toy.trunk.parameters())
    rows = jacobian(toy.losses(["a", "b"]), trunk, weights)
    assert torch.cosine_similarity(rows, rows.sum(0).expand_as(rows), dim=1).min() < -0.5
    weighting = built(toy, weights)
    weighting.backward(weighting(toy.losses(["a", "b"]), 0.0)[0])
    assert (
        torch.cosine_similarity(rows, flat(trunk).expand_as(rows), dim=1).min() > -0.05
    )  # not 0: TorchJD regularises the Gramian


@pytest.mark.parametrize("parts", [1, 3])
def test_accumulated_and_scaled(parts: int) -> None:
    """A gradient scaler and accumulation multiply the loss; that multiplies the gradient and does nothing else."""
    toy = Toy()
    weighting = built(toy, parts=parts)
    weighting.backward(weighting(toy.losses(), 0.0)[0])
    once = flat(list(toy.parameters()))
    toy.zero_grad()
    for _ in range(4):
        weighting.backward(2.0**16 / 4 * weighting(toy.losses(), 0.0)[0])
    torch.testing.assert_close(flat(list(toy.parameters())), 2.0**16 * once)


def test_the_gramian_is_that_of_the_weighted_losses_whatever_the_scale() -> None:
    """Aggregators tell gradients that are nearly 0 by its size, which a gradient scaler must not change."""
    toy = Toy()
    weighting, seen = built(toy), list[Tensor]()
    weighting.aggregator.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    for scale in (1.0, 2.0**16):
        weighting.backward(scale * weighting(toy.losses(), 0.0)[0])
    rows = jacobian(toy.losses(), list(toy.trunk.parameters()), WEIGHTS)
    for gramian in seen:
        torch.testing.assert_close(gramian, rows @ rows.T)
    assert len(seen) == 2


def test_steps_that_lack_objectives() -> None:
    toy = Toy()
    weighting = built(toy)
    trunk = list(toy.trunk.parameters())
    weighting.backward(weighting(toy.losses(["a", "b"]), 0.0)[0])
    torch.testing.assert_close(flat(trunk), jd.UPGrad()(jacobian(toy.losses(["a", "b"]), trunk, WEIGHTS)))
    assert toy.heads["c"].weight.grad is None
    toy.zero_grad()
    assert weighting.backward(weighting(toy.losses(["b"]), 0.0)[0]) == {}
    torch.testing.assert_close(flat(trunk), jacobian(toy.losses(["b"]), trunk, WEIGHTS)[0])
    weighting.backward(0.0 * toy.x.sum() + toy.unread.sum())  # a step without any: what is left of the last is gone
    assert toy.unread.grad is not None


def test_a_loss_that_is_not_finite_shows_as_such() -> None:
    toy = Toy()
    weighting = built(toy)
    losses = toy.losses()
    losses["b"] = losses["b"] * torch.inf
    weighting.backward(weighting(losses, 0.0)[0])
    assert not flat(list(toy.trunk.parameters())).isfinite().all()


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_on_a_student(family: str, tiny: Any, batch_of: Any, texts: list[str]) -> None:
    """Tied embeddings are the backbone's; the class head gets its own gradient, recomputed layers too."""
    language = {"bert": MaskedLM, "gpt2": CausalLM, "t5": SpanCorruption}[family]("s")
    objectives = {"lm": language, "ce": Classification("s")}
    student = tiny(family, gradient_checkpointing=True).train()
    views = [*objectives["lm"].views(), *objectives["ce"].views()]
    objectives["ce"].build(student, {"s": StreamInfo("classify", ("a", "b"))})
    student.double()
    batch = batch_of(student, texts, views, [0, 1] * 4)

    def losses() -> dict[str, Tensor]:
        torch.manual_seed(5)
        step = Step({"s": batch}, student, None, {"s": views})
        return {name: objective(step) for name, objective in objectives.items()}

    backbone = [p for layer in student.shared() for p in layer]
    assert any(p is student.model.get_input_embeddings().weight for p in backbone)
    ones = {"lm": 1.0, "ce": 1.0}
    expected = jd.UPGrad()(jacobian(losses(), backbone, ones))
    (plain,) = torch.autograd.grad(losses()["ce"], [student.heads["s"].linear.weight])
    for parts in (1, 2):
        student.zero_grad()
        weighting = Aggregation(parts=parts)
        weighting.build(list(objectives), student.shared(), list(student.parameters()))
        weighting.backward(weighting(losses(), 0.0)[0])
        torch.testing.assert_close(flat(backbone), expected)
        torch.testing.assert_close(student.heads["s"].linear.weight.grad, plain)


def test_without_torchjd_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[torchjd\]'"):
        Aggregation()


def test_refusals(tiny: Any) -> None:
    with pytest.raises(UserError, match="aggregator GradDrop does not weigh by the Gramian; use one such as UPGrad"):
        Aggregation(jd.GradDrop())
    with pytest.raises(UserError, match="aggregator GradVac keeps state between steps"):
        Aggregation(jd.GradVac())
    with pytest.raises(UserError, match="parts is 0; it must be at least 1"):
        Aggregation(parts=0)
    with pytest.raises(UserError, match="Aggregation needs a backbone to train"):
        Aggregation().build(["a"], tiny("bert", freeze_layers=-1).shared(), [])
