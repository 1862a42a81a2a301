"""From a trained student to answers. Each is imported when it is asked for: help on a command needs no model."""

from typing import TYPE_CHECKING

from research.lazy import importer

if TYPE_CHECKING:
    from research.inference.loading import load
    from research.inference.model import Model

__all__ = ["Model", "load"]

MODULES = {"Model": "model", "load": "loading"}

__getattr__ = importer(__name__, MODULES)
