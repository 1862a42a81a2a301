"""From what a classifier says to what is done: calibrated probabilities, thresholds, abstaining, out of scope."""

from research.inference.decisions.decisions import Decisions

__all__ = ["Decisions"]
