"""Optimisers beside torch's own, a file each; ``model.optimisation.optimiser`` names one by ``class_path``."""

from research.optimisers.recadam import RecAdam

__all__ = ["RecAdam"]
