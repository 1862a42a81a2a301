"""What watches a run: logs, checkpoints, summaries, forgetting, losses of examples."""

from research.callbacks.example_losses import ExampleLosses
from research.callbacks.forgetting import Forgetting

__all__ = ["ExampleLosses", "Forgetting"]
