"""What goes on inside a model: the states between its layers, and the queries, keys and values of their attention."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from research.data.batch import Tokens
from research.errors import UserError

if TYPE_CHECKING:
    from research.models.families import Family


@dataclass
class Attention:
    """Self-attention of one layer, as it was computed; its (L, L) maps are made only when they are asked for.

    Shapes: ``queries``, ``keys`` and ``values`` (N, heads, L, d); ``mask`` as the kernel took it: (N, 1, L, L) or
    (N, L), bool or added to the scores, or none; ``bias`` (1, heads, L, L), T5's of relative positions, or none.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    scale: float
    mask: Tensor | None
    causal: bool
    bias: Tensor | None

    def visible(self) -> Tensor:
        """Where a query may look: bool, broadcastable to (N, heads, L, L)."""
        length = self.queries.shape[2]
        if self.mask is None or self.mask.dim() == 2:
            everything = torch.ones(1, 1, length, length, dtype=torch.bool, device=self.queries.device)
            seen = everything.tril() if self.causal else everything
            return seen if self.mask is None else seen & self.mask.bool()[:, None, None]
        return self.mask if self.mask.dtype == torch.bool else self.mask > torch.finfo(self.mask.dtype).min / 2

    def scores(self) -> Tensor:
        """``scale q k^T + bias`` (N, heads, L, L), also where a query may not look."""
        scores = self.scale * self.queries @ self.keys.mT
        return scores if self.bias is None else scores + self.bias

    def part(self, rows: slice, length: int) -> "Attention":
        """The attention of some rows, without the padding behind ``length``."""
        mask, bias = self.mask, self.bias
        if mask is not None:
            mask = mask[rows if len(mask) > 1 else slice(None)]
            mask = mask[:, :length] if mask.dim() == 2 else mask[:, :, :length, :length]
        return replace(
            self,
            queries=self.queries[rows, :, :length],
            keys=self.keys[rows, :, :length],
            values=self.values[rows, :, :length],
            mask=mask,
            bias=None if bias is None else bias[:, :, :length, :length],
        )


@dataclass
class Stack:
    """One stack of layers: ``hidden`` holds the embeddings and each layer's output (N, L, H), ``attention`` a layer's.

    Either is empty where it was not asked for. The last of ``hidden`` has gone through the model's last norm.
    """

    hidden: list[Tensor] = field(default_factory=list)
    attention: list[Attention] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return len(self.attention) or len(self.hidden) - 1

    def part(self, rows: slice, length: int) -> "Stack":
        """The states of some rows, without the padding behind ``length``."""
        return Stack([h[rows, :length] for h in self.hidden], [a.part(rows, length) for a in self.attention])


@contextmanager
def recording(model: nn.Module, stacks: Sequence[Sequence[nn.Module]], reads: frozenset[str]) -> Iterator[list[Stack]]:
    """While the model runs, keep what ``reads`` names of the layers of each stack: ``hidden``, ``attention``.

    The kernel of attention stays the one it was: what it is given is noted on the way. The last state of each stack
    is left to the caller, who has it.
    """
    records = [Stack() for _ in stacks]
    entered: list[Stack] = []

    def enter(record: Stack) -> Callable[..., None]:
        def hook(layer: nn.Module, args: Any, kwargs: Any) -> None:
            entered[:] = [record]
            if "hidden" in reads:
                record.hidden.append(args[0] if args else kwargs["hidden_states"])

        return hook

    def note(*given: Any, **settings: Any) -> None:
        if entered:  # a decoder's layer attends to the encoder afterwards, which is left out
            entered.pop().attention.append(noted(*given, **settings))

    with ExitStack() as undo:
        for record, layers in zip(records, stacks, strict=True):
            for layer in layers:
                undo.enter_context(layer.register_forward_pre_hook(enter(record), with_kwargs=True))
        if "attention" in reads:
            undo.enter_context(watched(model, note))
        yield records


def recorded(
    family: "Family", model: nn.Module, tokens: Tokens, reads: frozenset[str]
) -> tuple[Tensor, Tensor, list[Stack]]:
    """``(hidden, memory)`` of the family's model, and of each stack that ran what ``reads`` names."""
    layers = [getattr(owner, attribute) for owner, attribute in family.stacks(model)]
    with recording(model, layers, reads) as stacks:
        hidden, memory = family.hidden(model, tokens)
    ran = stacks if tokens.decoder_ids is not None else stacks[:1]
    if "hidden" in reads:
        for stack, last in zip(ran, (memory, hidden), strict=False):
            stack.hidden.append(last)
    return hidden, memory, ran


def check_readable(config: Any, key: str) -> None:
    """Refuse an architecture whose attention does not go through Transformers' interface.

    Raises:
        UserError: naming the key of the model.
    """
    if config.model_type == "hybrid_transformer":
        raise UserError(f"{key}: the attention of hybrid_transformer cannot be read; use model_type bert")


@contextmanager
def watched(model: nn.Module, note: Callable[..., None]) -> Iterator[None]:
    """Tell ``note`` what the model's attention kernel is given.

    Raises:
        UserError: for a model that computes attention outside of Transformers' interface.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as KERNELS

    config: Any = model.config
    check_readable(config, "model")
    name = config._attn_implementation
    if name not in KERNELS:
        raise UserError(f"attention cannot be read where attn_implementation is {name}; set it to sdpa")
    kernel = KERNELS[name]

    def attend(*given: Any, **settings: Any) -> Any:
        note(*given, **settings)
        return kernel(*given, **settings)

    KERNELS[name] = attend  # of this process, before the one that all share
    try:
        yield
    finally:
        del KERNELS[name]


def noted(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **settings: Any,
) -> Attention:
    """What Transformers' interface gives a kernel; keys and values that heads share are repeated for each."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    causal = bool(getattr(module, "is_causal", True)) if is_causal is None else is_causal
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    return Attention(query, key, value, scale, attention_mask, causal, position_bias)
