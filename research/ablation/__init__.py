"""Ablations: one grid file becomes runs, their results, and the tables and plots of them."""
