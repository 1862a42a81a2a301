"""Layers that share their weights (ALBERT: Lan et al. 2020, arXiv:1909.11942)."""

from typing import TYPE_CHECKING, Any

from research.errors import UserError
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family


class SharedLayers(Compression):
    """Neighbouring layers of a stack share the weights of the first of them.

    Args:
        groups: how many sets of weights a stack has, which its layers are divided among evenly; at least 1.
    """

    def __init__(self, groups: int = 1) -> None:
        self.groups = groups

    def apply(self, model: Any, family: "Family") -> None:
        for owner, attribute in family.stacks(model):
            layers = getattr(owner, attribute)
            if not 1 <= self.groups < len(layers):
                raise UserError(
                    f"model.student.compression: SharedLayers: groups is {self.groups}; "
                    f"it must be at least 1 and below the number of layers, {len(layers)}"
                )
            for i, layer in enumerate(layers):
                share(layer, layers[first_of(i, len(layers), self.groups)])


def first_of(layer: int, layers: int, groups: int) -> int:
    """The first layer of the group of another."""
    group = layer * groups // layers
    return -(-group * layers // groups)


def share(layer: Any, first: Any) -> None:
    """Let a layer have the parameters of another; it stays a module of its own, with its own number and hooks."""
    for name, parameter in list(first.named_parameters()):
        owner, _, attribute = name.rpartition(".")
        setattr(layer.get_submodule(owner), attribute, parameter)
