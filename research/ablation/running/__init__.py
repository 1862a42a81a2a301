"""How runs are made: one job, many on this machine or on SLURM, and what is kept of each."""
