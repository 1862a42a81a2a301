"""The best settings of a grid, looked for by Optuna on development splits alone."""
