"""From a checkpoint to a smaller one, and what it costs."""
