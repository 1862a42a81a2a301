"""How deep inside a model each of its parameters lies."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from research.models.families import Family


def depth_of(family: "Family", model: nn.Module) -> int:
    """The layers of its deepest stack."""
    return max(len(getattr(owner, attribute)) for owner, attribute in family.stacks(model))


def depths(family: "Family", model: Any, named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, int | None]:
    """For each named parameter 0 (embeddings), the number of its layer from 1 on, or none outside the model's base."""
    layer_of = {
        id(p): i + 1
        for owner, attribute in family.stacks(model)
        for i, layer in enumerate(getattr(owner, attribute))
        for p in layer.parameters()
    }
    base = {id(p) for p in model.base_model.parameters()}
    embeddings = {id(p) for m in model.base_model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    deepest = depth_of(family, model)

    def depth(name: str, p: nn.Parameter) -> int | None:
        if id(p) in layer_of:
            return layer_of[id(p)]
        if id(p) not in base:
            return None
        return 0 if id(p) in embeddings or "embeddings" in name else deepest

    return {name: depth(name, p) for name, p in named}
