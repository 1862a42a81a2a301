"""From a trained student to answers. Each is imported when it is asked for: help on a command needs no model."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from research.inference.loading import load
    from research.inference.model import Model

__all__ = ["Model", "load"]

MODULES = {"Model": "model", "load": "loading"}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
