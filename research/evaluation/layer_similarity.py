"""How far training has moved what each layer gives."""

from collections.abc import Sequence

import torch
from torch import Tensor

from research.models.embedding import in_batches
from research.models.student import Student
from research.step import Clean


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Linear centred kernel alignment of two sets of states (n, H) and (n, K) of the same n tokens, in [0, 1].

    ``|Y' X|^2 / (|X' X| |Y' Y|)`` in Frobenius norms of columns without their means (Kornblith et al. 2019,
    arXiv:1905.00414). It is 1 where one set is the other turned, scaled or moved, and says
    little where n is not well above H.
    """
    x, y = (each.double() - each.double().mean(0) for each in (first, second))
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


@torch.no_grad()
def layer_states(student: Student, texts: Sequence[str], max_length: int | None = None) -> list[Tensor]:
    """For the embeddings and each layer the states (n, H) float32 of all n tokens of the texts, on the CPU.

    Of an encoder-decoder they are the encoder's. The student has to be in evaluation mode.
    """
    found: list[list[Tensor]] = []
    for _, encoded in in_batches(student, texts, Clean(), max_length, frozenset({"hidden"})):
        real = encoded.tokens.mask
        found.append([states[real].float().cpu() for states in encoded.stacks[0].hidden])
    return [torch.cat(layer) for layer in zip(*found, strict=True)]
