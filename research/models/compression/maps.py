"""The linear maps and the word embedding of a model: where they are, and how others take their place."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from research.models.families import Family

Of = Callable[[nn.Module], nn.Module | None]
"""What takes the place of a module, or none where it stays."""


class Replaced(nn.Module):
    """Stands for a map whose weights it keeps otherwise."""

    @property
    def weight(self) -> Tensor:
        """The weights of that map, (out, in) or (V, H), made when they are read."""
        raise NotImplementedError

    def expanded(self) -> nn.Module:
        """The same function as torch's own module, in as many weights as it had."""
        raise NotImplementedError


def is_transposed(module: nn.Module) -> bool:
    """Whether it is the linear map of GPT-2, whose weights are (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear map, also as GPT-2 keeps it, transposed."""
    return isinstance(module, nn.Linear) or is_transposed(module)


def matrix(module: Any) -> Tensor:
    """The weights (out, in) of a linear map."""
    weight: Tensor = module.weight
    return weight.T if is_transposed(module) else weight


@torch.no_grad()
def as_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear map of weights (out, in) and a bias (out,) or none."""
    outputs, inputs = weight.shape
    made = nn.Linear(inputs, outputs, bias=bias is not None, device=weight.device, dtype=weight.dtype)
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias)
    return made


def replace(root: nn.Module, of: Of) -> int:
    """Put ``of(child)`` in the place of each child inside a module; returns of how many.

    Modules of one kind that share their weights share what takes their place.
    """
    known = dict[
        tuple[type, int], tuple[nn.Module, nn.Module | None]
    ]()  # the first keeps the number from being given again
    count = 0
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            weights = next(child.parameters(recurse=False), child)
            place = type(child), id(weights)
            if place not in known:
                known[place] = child, of(child)
            _, new = known[place]
            if new is not None:
                setattr(parent, name, new.train(child.training))
                count += 1
    return count


def layers_of(model: Any, family: "Family") -> nn.ModuleList:
    """The layers of all stacks."""
    return nn.ModuleList(layer for owner, attribute in family.stacks(model) for layer in getattr(owner, attribute))


class TiedOutput(Replaced):
    """An output embedding whose weights (V, H) are those of the word embedding."""

    def __init__(self, embedding: nn.Module, bias: nn.Parameter | None) -> None:
        super().__init__()
        self._embedding = (embedding,)  # in a tuple, so that it is no part of this module's state
        self.bias = bias

    @property
    def weight(self) -> Tensor:
        embedding: Any = self._embedding[0]
        weight: Tensor = embedding.weight
        return weight

    def forward(self, states: Tensor) -> Tensor:
        """(..., H) to (..., V)."""
        return nn.functional.linear(states, self.weight, self.bias)

    def expanded(self) -> nn.Module:
        return as_linear(self.weight, self.bias)


def is_word_embedding(module: Any, known: Any) -> bool:
    """Whether it is the word embedding that is known; T5 has it three times."""
    return module is known or (isinstance(module, nn.Embedding) and module.weight is known.weight)


def replace_embedding(model: Any, new: nn.Module) -> None:
    """Give a model another word embedding, and an output that reads it where the one it has read the old one."""
    old, output = model.get_input_embeddings(), model.get_output_embeddings()
    tied = output is not None and (output.weight is old.weight or isinstance(output, TiedOutput))

    def of(child: Any) -> nn.Module | None:
        if is_word_embedding(child, old):
            return new
        return TiedOutput(new, output.bias) if tied and child is output else None

    replace(model, of)


def expand(model: Any) -> None:
    """Put torch's own modules in the place of all that stand for them: the same function, in as many weights."""
    replace(model, lambda child: child.expanded() if isinstance(child, Replaced) else None)
