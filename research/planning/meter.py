"""The bytes of the tensors that are alive while something runs, by what each is for, and the FLOPs of its products."""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from research.planning.flops import flops_of
from research.planning.values import answered

STATES = ("parameters", "gradients", "optimiser")  # what strategies divide


@dataclass
class Held:
    """A storage that is alive."""

    kind: str
    size: int


class Meter(TorchDispatchMode):
    """While it is active, ``now`` counts the bytes alive by kind, ``peak`` those of the moment of the most, and FLOPs.

    ``divided`` are those of the moment that would be the most if ``STATES`` were divided among so many devices.

    What is made counts as ``kind``, until :meth:`count` says what it is for. Tensors without memory count as if they
    had it, and operations on them as if all their values were 1. ``read`` are bytes that come from the disk, for others
    to add to.
    """

    def __init__(self, devices: int) -> None:
        super().__init__()
        self.devices = devices
        self.kind, self.total, self.states = "", 0, 0
        self.counting = True
        self.now: Counter[str] = Counter()
        self._held = WeakIdKeyDictionary()
        self.restart()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is made is not counted."""
        self.counting = False
        yield
        self.counting = True

    def restart(self) -> None:
        """Forget the peaks and the work so far."""
        self.flops = self.read = 0
        self.peak, self.most = Counter(self.now), self.total
        self.divided, self.most_divided = Counter(self.now), self._divided()

    def count(self, kind: str, tensors: Iterable[Tensor]) -> int:
        """Let these tensors count as a kind from now on; gives their bytes, those of views of one storage once."""
        storages = {id(tensor.untyped_storage()): self._see(tensor) for tensor in tensors}
        for held in storages.values():
            self._add(held, -1)
            held.kind = kind
            self._add(held, 1)
        return sum(held.size for held in storages.values())

    def _see(self, tensor: Tensor) -> Held:
        """Count a tensor's storage until nothing holds it."""
        storage = tensor.untyped_storage()
        if storage in self._held:
            known: Held = self._held[storage]
            return known
        held = self._held[storage] = Held(self.kind, storage.nbytes())
        weakref.finalize(storage, self._add, held, -1)
        self._add(held, 1)
        if self.total > self.most:
            self.peak, self.most = Counter(self.now), self.total
        if (divided := self._divided()) > self.most_divided:
            self.divided, self.most_divided = Counter(self.now), divided
        return held

    def _add(self, held: Held, sign: int) -> None:
        size = sign * held.size
        self.now[held.kind] += size
        self.total += size
        self.states += size if held.kind in STATES else 0

    def _divided(self) -> float:
        return self.total - self.states + self.states / self.devices

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and func is not torch.ops.prim.device.default:
            # There some operations come whole; they are met in their parts.
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = answered(func, args, kwargs)
        if not self.counting:
            return out
        self.flops += flops_of(func, args, kwargs, out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return out
