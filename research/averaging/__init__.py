"""One model from the weights of several: soups of runs, and the way back to where a run began."""
