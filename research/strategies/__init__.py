"""Strategies that divide the student among processes, on GPUs and on CPUs."""

from research.strategies.fsdp import FSDP

__all__ = ["FSDP"]
