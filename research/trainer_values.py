"""Values that Lightning's trainer takes, and that would end a run in its midst or do nothing."""

from typing import Any

from research.errors import UserError

ABOVE_0 = ("accumulate_grad_batches", "log_every_n_steps", "check_val_every_n_epoch", "val_check_interval", "num_nodes")
AT_LEAST_0 = ("gradient_clip_val", "overfit_batches")
NOT_0 = ("max_steps", "max_epochs")  # -1 is without an end
SEEDS = 2**32  # numpy's


def check_values(config: Any) -> None:
    """Refuse a seed and numbers of the trainer out of their range; what Lightning refuses itself is not among them.

    Raises:
        UserError: naming the key.
    """
    seed = config.seed_everything
    if isinstance(seed, int) and not 0 <= seed < SEEDS:
        raise UserError(f"seed_everything is {seed}; it must be at least 0 and below 2^32")
    for keys, holds, rule in (
        (ABOVE_0, lambda value: value > 0, "it must be above 0"),
        (AT_LEAST_0, lambda value: value >= 0, "it must be at least 0"),
        (NOT_0, lambda value: value != 0, "it must be above 0, or -1 for no end"),
    ):
        for key in keys:
            value = config.trainer[key]
            if isinstance(value, int | float) and not holds(value):  # an interval may be a time
                raise UserError(f"trainer.{key} is {value}; {rule}")
