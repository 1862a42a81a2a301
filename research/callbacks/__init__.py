"""What watches a run: logs, checkpoints, summaries, forgetting, losses of examples."""

from research.callbacks.example_losses import ExampleLosses
from research.callbacks.forgetting import Forgetting
from research.callbacks.similarity import SentenceSimilarity

__all__ = ["ExampleLosses", "Forgetting", "SentenceSimilarity"]
