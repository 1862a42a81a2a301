"""From a trained student to answers."""

from research.inference.loading import load
from research.inference.model import Model

__all__ = ["Model", "load"]
