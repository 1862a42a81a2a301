"""Hidden states in bfloat16 under autocast: half the bytes, losses as in float32, and no small update lost."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from research.models import recompute
from research.models.pooling import pooled
from research.objectives import CausalLM, MaskedLM
from research.objectives.base import Objective
from research.precision import native_bfloat16
from research.step import Step

pytestmark = pytest.mark.skipif(not native_bfloat16(), reason="this machine only emulates bfloat16")
OBJECTIVES: dict[str, Objective] = {"bert": MaskedLM("s", 0.4), "gpt2": CausalLM("s")}
Setting = tuple[Objective, Any, Any]


def loss(setting: Setting, mixed: bool = True) -> Tensor:
    objective, student, batch = setting
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed, cache_enabled=False):  # as Lightning's
        out: Tensor = objective(Step({"s": batch}, student, None, {"s": objective.views()}))
    return out


@pytest.fixture(params=OBJECTIVES)
def setting(request: Any, tiny: Any, texts: list[str], batch_of: Any) -> Setting:
    """A student in float32 whose dropout is off, and a batch."""
    objective, student = OBJECTIVES[request.param], tiny(request.param).float()
    return objective, student, batch_of(student, texts, objective.views())


def kept(compute: Callable[[], Tensor], monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that the backbone's backward pass holds, parameters left out."""
    sizes: dict[int, int] = {}

    def note(x: Tensor) -> Tensor | recompute.Remade:
        held = pack(x)
        if isinstance(held, Tensor) and not isinstance(held, torch.nn.Parameter):
            sizes[held.untyped_storage().data_ptr()] = held.untyped_storage().nbytes()
        return held

    pack = recompute.pack
    with monkeypatch.context() as patch:
        patch.setattr(recompute, "pack", note)
        loss = compute()
    assert loss.requires_grad  # and is alive, or an address might be of two tensors
    return sum(sizes.values())


def test_states_between_layers_are_narrow_and_parameters_wide(setting: Setting) -> None:
    _, student, _ = setting
    seen: set[torch.dtype] = set()
    for owner, attribute in student.family.stacks(student.model):
        for layer in getattr(owner, attribute):
            layer.register_forward_pre_hook(lambda layer, given: seen.add(given[0].dtype))
    loss(setting).backward()
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in student.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in student.parameters() if p.grad is not None} == {torch.float32}
    seen.clear()
    loss(setting, mixed=False)
    assert seen == {torch.float32}


def test_the_backward_pass_keeps_less(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    _, student, _ = setting
    student.train()
    less = kept(lambda: loss(setting), monkeypatch)
    for owner, attribute in student.family.stacks(student.model):
        getattr(owner, attribute)[0]._forward_pre_hooks.clear()
    share = {"bert": 0.75, "gpt2": 0.95}[student.config.model_type]  # GPT-2 keeps its attention's weights
    assert less < share * kept(lambda: loss(setting), monkeypatch)


def test_twenty_steps_lose_as_in_float32(setting: Setting) -> None:
    _, student, _ = setting
    start = {name: value.clone() for name, value in student.state_dict().items()}
    losses: dict[bool, list[float]] = {}
    for mixed in (False, True):
        student.load_state_dict(start)
        optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3)
        losses[mixed] = []
        for _ in range(20):
            optimiser.zero_grad()
            value = loss(setting, mixed)
            value.backward()
            optimiser.step()
            losses[mixed].append(value.item())
    assert losses[False][-1] < 0.9 * losses[False][0]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)


def test_updates_too_small_for_bfloat16_are_not_lost(setting: Setting) -> None:
    _, student, _ = setting
    matrices = [p for p in student.model.parameters() if p.ndim == 2]
    start = [p.detach().clone() for p in matrices]
    optimiser = torch.optim.AdamW(matrices, lr=1e-7, weight_decay=0.0)
    for _ in range(5):
        optimiser.zero_grad()
        loss(setting).backward()
        optimiser.step()
    large = [s.abs() > 0.05 for s in start]  # half of bfloat16's spacing is more than 5 updates there
    trained = [(p[n] - s[n], p[n], s[n]) for p, s, n in zip(matrices, start, large, strict=True) if p.grad is not None]
    moved = torch.cat([way for way, _, _ in trained])
    assert (moved != 0).float().mean() > 0.5
    assert torch.cat([w.bfloat16() == s.bfloat16() for _, w, s in trained]).float().mean() > 0.95


@pytest.mark.parametrize("how", ["mean", "first", "last", "max", "weighted_mean"])
def test_embeddings_are_in_float32_and_count_all_tokens(how: Any) -> None:
    states = torch.randn(2, 1001, 3).bfloat16()
    mask = torch.arange(1001) < torch.tensor([[1001], [777]])
    got = pooled(states, mask, how)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), pooled(states.double(), mask, how), rtol=1e-5, atol=1e-6)


def test_a_model_with_norms_of_its_own_is_left_as_it_is(tiny: Any) -> None:
    student = tiny("t5")
    stacks = student.family.stacks(student.model)
    assert not any(layer._forward_pre_hooks for owner, attribute in stacks for layer in getattr(owner, attribute))
