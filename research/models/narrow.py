"""Hidden states in the precision of autocast, on the CPU.

Under ``bf16-mixed`` the matrix products are in bfloat16 but the embeddings, which no product makes, are in float32, and
so would be each sum with them: all states between layers, their norms and dropout masks. Parameters stay in float32 and
are their own master weights: optimiser, averages, penalties and checkpoints know nothing of it.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from research.models.families import Family


def use_narrow_states(model: nn.Module, family: "Family") -> None:
    """Let the states of each stack of layers enter the first of them in the precision of autocast, where it is on.

    Stacks without torch's own norm, such as T5's, gain nothing: theirs makes float32 copies of what it is given.
    """
    for owner, attribute in family.stacks(model):
        first = getattr(owner, attribute)[0]
        if any(isinstance(part, nn.LayerNorm) for part in first.modules()):
            first.register_forward_pre_hook(narrow)


def narrow(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """On a GPU it would save nothing: there autocast has each norm give float32 again."""
    states, *more = given
    if states.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return given
    return states.to(torch.get_autocast_dtype("cpu")), *more
