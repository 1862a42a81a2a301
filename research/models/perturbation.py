"""Noise on the input embeddings, for objectives that look for the noise that does most harm."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def added(noise: Tensor | None, embedding: nn.Module) -> Iterator[None]:
    """Meanwhile what the embedding gives (N, L, E) is that and the noise (N, L, E)."""
    if noise is None:
        yield
        return
    hook = embedding.register_forward_hook(lambda module, inputs, output: output + noise)
    try:
        yield
    finally:
        hook.remove()
