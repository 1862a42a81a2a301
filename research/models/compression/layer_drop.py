"""Layers left out at random in training, so that fewer will do afterwards (Fan et al. 2020, arXiv:1909.11556)."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from research.errors import UserError
from research.models.compression.maps import layers_of
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family


class LayerDrop(Compression):
    """In training each layer hands on the states that it is given with some probability, drawn for each forward.

    A student trained so is cut to every other layer by ``compress --layers``. Objectives that read the attention of the
    student's layers want all of them.

    Args:
        rate: the probability, in (0, 1); the paper has 0.2 for half the layers.
    """

    lasts = False

    def __init__(self, rate: float = 0.2) -> None:
        if not 0 < rate < 1:
            raise UserError(f"model.student.compression: LayerDrop: rate is {rate}; it must lie in (0, 1)")
        self.rate = rate

    def apply(self, model: Any, family: "Family") -> None:
        if family.name == "encoder-decoder":
            raise UserError("model.student.compression: LayerDrop is for students of one stack of layers")
        for layer in layers_of(model, family):
            layer.forward = partial(drop, layer, layer.forward, self.rate)


def drop(layer: Any, forward: Callable[..., Any], rate: float, states: Any, *given: Any, **settings: Any) -> Any:
    """What the layer makes of states (N, L, H), or in training sometimes these as they are."""
    if layer.training and float(torch.rand(())) < rate:
        return states
    return forward(states, *given, **settings)
