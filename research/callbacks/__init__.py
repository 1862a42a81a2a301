"""What watches a run: logs, checkpoints, summaries, forgetting."""

from research.callbacks.forgetting import Forgetting

__all__ = ["Forgetting"]
