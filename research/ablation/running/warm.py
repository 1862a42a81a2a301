"""Imported once, by the process that all runs are forked from: all that a run imports sooner or later."""

import gc
import importlib

OURS = ("research.training_cli", "research.ablation.running.record")
LATE = ("transformers.modeling_utils", "matplotlib.figure", "pandas")
for name in (*OURS, *LATE):
    importlib.import_module(name)
gc.freeze()  # what is shared is not looked through, and so not copied, by each run
