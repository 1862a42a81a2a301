"""What watches a run: logs, checkpoints, summaries, forgetting, losses of examples, and the mean of its weights."""

from research.callbacks.example_losses import ExampleLosses
from research.callbacks.forgetting import Forgetting
from research.callbacks.similarity import SentenceSimilarity
from research.callbacks.weight_average import WeightAverage

__all__ = ["ExampleLosses", "Forgetting", "SentenceSimilarity", "WeightAverage"]
