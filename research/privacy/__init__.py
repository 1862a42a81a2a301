"""Training that tells little of any single example."""

from research.privacy.dpsgd import DPSGD

__all__ = ["DPSGD"]
