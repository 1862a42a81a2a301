"""The most memory that a fit takes from before its model is built: what it holds for tensors, and what is resident."""

import ctypes
import gc
import json
import threading
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

PAUSE = 0.001  # seconds between two looks; the large tensors of a step live longer


class MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc's malloc.h."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = MallInfo


def held() -> int:
    """Bytes that the heap has given out."""
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


def mapped() -> int:
    """Bytes of weights that are read where they lie on the disk."""
    total, weights = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Rss:") and weights:
            total += int(line.split()[1]) * 1024
        elif not line.split(maxsplit=1)[0].endswith(":"):
            weights = line.endswith(".safetensors")
    return total


def resident(name: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


class Heap(Callback):
    """Writes to ``path``, by the first process, the most bytes beyond those before the model was built."""

    def __init__(self, path: str) -> None:
        self.path, self.most, self.done = Path(path), 0, threading.Event()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        self.before, self.resident = held(), resident("VmRSS")
        threading.Thread(target=self._watch, daemon=True).start()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.done.set()
        if trainer.is_global_zero:
            heap, weights = self.most - self.before, mapped()
            told = {"held": heap + weights, "heap": heap, "resident": resident("VmHWM") - self.resident}
            self.path.write_text(json.dumps(told))

    def _watch(self) -> None:
        while not self.done.wait(PAUSE):
            self.most = max(self.most, held())
