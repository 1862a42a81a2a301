"""The bytes of the tensors that are alive while something runs, by what each is for, and the FLOPs of its products."""

import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from research.planning.flops import flops_of
from research.planning.values import answered


@dataclass
class Held:
    """A storage that is alive."""

    kind: str
    size: int


class Meter(TorchDispatchMode):
    """While it is active, ``now`` counts the bytes alive by kind, ``peak`` those of the moment of the most, and FLOPs.

    What is made counts as ``kind``, until :meth:`count` says what it is for. Tensors without memory count as if they
    had it, and operations on them as if all their values were 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.total, self.flops = "", 0, 0
        self.now: Counter[str] = Counter()
        self._held = WeakIdKeyDictionary()
        self.restart()

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak, self.most = Counter(self.now), self.total

    def count(self, kind: str, tensors: Iterable[Tensor]) -> int:
        """Let these tensors count as a kind from now on; gives their bytes, those of views of one storage once."""
        storages = {id(tensor.untyped_storage()): self._see(tensor) for tensor in tensors}
        for held in storages.values():
            self.now[held.kind] -= held.size
            held.kind = kind
            self.now[kind] += held.size
        return sum(held.size for held in storages.values())

    def _see(self, tensor: Tensor) -> Held:
        """Count a tensor's storage until nothing holds it."""
        storage = tensor.untyped_storage()
        if storage in self._held:
            known: Held = self._held[storage]
            return known
        held = self._held[storage] = Held(self.kind, storage.nbytes())
        weakref.finalize(storage, self._gone, held)
        self.now[held.kind] += held.size
        self.total += held.size
        if self.total > self.most:
            self.restart()
        return held

    def _gone(self, held: Held) -> None:
        self.now[held.kind] -= held.size
        self.total -= held.size

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and func is not torch.ops.prim.device.default:
            # There some operations come whole; they are met in their parts.
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = answered(func, args, kwargs)
        self.flops += flops_of(func, args, kwargs, out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return out
