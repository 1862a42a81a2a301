"""Checkpoints: written whole, checked when they are read, one file or in shards."""

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # the newest of a run, and the one before it
