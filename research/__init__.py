"""Hybrid fine-tuning: unsupervised, supervised and distillation objectives in one training flow."""

__version__ = "0.1.0"
