"""Does this machine multiply bfloat16 natively? Where it is emulated, it is tens of times slower."""

from typing import Any

import torch

from research.errors import UserError


def native_bfloat16(device: str | None = None) -> bool:
    """Native on a device; by default on the GPU if there is one, else on the CPU."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_precision(trainer: Any) -> None:
    """Refuse bfloat16 where it is emulated.

    Raises:
        UserError: naming the key.
    """
    asked = str(trainer.precision)
    mixed = asked in ("16", "16-mixed") and not torch.cuda.is_available()  # Lightning makes it bf16 on a CPU
    if (mixed or asked.startswith("bf16")) and not native_bfloat16():
        raise UserError(
            f"trainer.precision is {asked}, which this machine only emulates, tens of times slower; use 32-true"
        )
