"""Uses of the mixture, a folder each: one config, one command, one README with need, design, result and cost."""
