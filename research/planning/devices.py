"""Devices by name: what their makers state of them, and what is measured where none is named."""

import time
from dataclasses import dataclass

import torch

from research.errors import UserError
from research.precision import native_bfloat16

SIDE, TIMES = 2048, 3  # of the square product that is measured, and how often


@dataclass(frozen=True)
class Device:
    """Memory in bytes, peak FLOP/s of dense matrix products in float32 and in bfloat16, and watts."""

    memory: float
    float32: float
    bfloat16: float
    watts: float

    def peak(self, precision: str) -> float:
        """FLOP/s of a ``trainer.precision``."""
        return self.float32 if "32" in precision else self.bfloat16


DEVICES = {  # from their data sheets, without sparsity; float32 without TF32, as torch multiplies by default
    "a100-40": Device(40e9, 19.5e12, 312e12, 400),
    "a100": Device(80e9, 19.5e12, 312e12, 400),
    "h100": Device(80e9, 67e12, 989e12, 700),
    "h200": Device(141e9, 67e12, 989e12, 700),
    "l40s": Device(48e9, 91.6e12, 362e12, 350),
    "mi300x": Device(192e9, 163.4e12, 1307e12, 750),
}


def device(name: str) -> Device:
    """A device by its name.

    Raises:
        UserError: if it is not known.
    """
    if name.lower() not in DEVICES:
        raise UserError(f"--device is {name}; there is {', '.join(DEVICES)}, or set --device-memory, --device-flops")
    return DEVICES[name.lower()]


def measured_peak(precision: str) -> float:
    """FLOP/s of a square matrix product on this machine, the best of some."""
    narrow = "32" not in precision and native_bfloat16("cpu")
    a = torch.rand(SIDE, SIDE, dtype=torch.bfloat16 if narrow else torch.float32)
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)
