"""A grid or its search as a sweep of Weights & Biases, and the runs that its agents ask for."""
