"""Cleaning of raw text at scale: sources, steps, deduplication and a report, run by datatrove on any cluster."""
