"""What each token, or its state in each layer, adds to an answer: integrated gradients, by Captum."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.inference.attribution import saying
from research.inference.explanation.reading import Reading
from research.inference.model import Model
from research.step import Clean

ROWS = 64  # of a text's path that are encoded at once


def integrated_gradients(model: Model, reading: Reading, layer: int = 0, steps: int = 64) -> tuple[np.ndarray, float]:
    """Weights (L,) of the tokens, and by how much their sum misses what it should be.

    ``sum_h (x - x')_h * integral of dF / dx_h`` along the straight way from x' to x (Sundararajan et al. 2017,
    arXiv:1703.01365), for a token's state x in a layer. x' is its state in the text whose tokens, but those that frame
    it, are mask tokens, or padding where the student has no mask token. F is what
    :func:`research.inference.attribution.saying` makes of the logits, and the weights add up to ``F(x) - F(x')``.

    Args:
        model: the student, which has to be in evaluation mode.
        reading: the text.
        layer: 0 for the input embeddings, k for what the k-th layer gives.
        steps: points of the Gauss-Legendre rule that stands for the integral, at least 1.

    Raises:
        UserError: without the extra ``explain``, or for a layer that the student does not have.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise UserError("integrated gradients need Captum: pip install '.[explain]'") from None
    tokens = reading.batch.views[Clean()]
    with torch.no_grad():
        logits = model.class_logits(reading.stream, reading.batch)
    said = int(logits[0].argmax())

    place = _layer(model, layer)

    def forward(states: Tensor) -> Tensor:
        with _given(place, states):
            batch = Batch({Clean(): repeated(tokens, tokens.ids.expand(len(states), -1))})
            logits = model.class_logits(reading.stream, batch)
        return saying(model.streams[reading.stream], logits)[:, said]

    texts = torch.cat([tokens.ids, blank(model, reading)])
    with torch.no_grad(), _given(place) as seen:
        model.class_logits(reading.stream, Batch({Clean(): repeated(tokens, texts)}))
    x, other = seen[0].split(1)
    found, gap = IntegratedGradients(forward).attribute(
        x, other, n_steps=steps, internal_batch_size=ROWS, return_convergence_delta=True
    )
    return found[0].sum(-1).double().cpu().numpy(), float(gap)


def blank(model: Model, reading: Reading) -> Tensor:
    """The ids (1, L) of the text that says nothing."""
    vocabulary = model.student.vocabulary
    ids = reading.batch.views[Clean()].ids.clone()
    ids[0, [piece is not None for piece in reading.pieces]] = (
        vocabulary.mask if vocabulary.mask >= 0 else vocabulary.pad
    )
    return ids


def repeated(tokens: Tokens, ids: Tensor) -> Tokens:
    """The one row of tokens with other ids (N, L), N times."""
    types = None if tokens.types is None else tokens.types.expand(len(ids), -1)
    return Tokens(ids, tokens.mask.expand(len(ids), -1), types=types)


@contextmanager
def _given(layer: nn.Module, states: Tensor | None = None) -> Iterator[list[Tensor]]:
    """What the layer gives meanwhile; with ``states`` (N, L, H), it gives these."""
    seen: list[Tensor] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        first, rest = (output[0], output[1:]) if isinstance(output, tuple) else (output, None)
        seen.append(first)
        given = first if states is None else states
        return given if rest is None else (given, *rest)

    handle = layer.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def _layer(model: Model, number: int) -> nn.Module:
    student = model.student
    assert student.model is not None
    owner, name = student.family.stacks(student.model)[0]
    layers = getattr(owner, name)
    if not 0 <= number <= len(layers):
        raise UserError(f"layer is {number}; it must lie between 0 and {len(layers)}")
    layer: nn.Module = student.family.input_embedding(student.model) if number == 0 else layers[number - 1]
    return layer
