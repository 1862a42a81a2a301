import pytest
from jsonargparse import Namespace

from research.errors import UserError
from research.trainer_values import ABOVE_0, AT_LEAST_0, NOT_0, check_values


def config(seed: int = 3, **trainer: float) -> Namespace:
    keys = dict.fromkeys((*ABOVE_0, *AT_LEAST_0, *NOT_0))
    return Namespace(seed_everything=seed, trainer=Namespace(**(keys | trainer)))


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches is 0; it must be above 0"),
        ({"log_every_n_steps": 0}, "trainer.log_every_n_steps is 0; it must be above 0"),
        ({"val_check_interval": 0.0}, "trainer.val_check_interval is 0.0; it must be above 0"),
        ({"gradient_clip_val": -1.0}, "trainer.gradient_clip_val is -1.0; it must be at least 0"),
        ({"gradient_clip_val": float("nan")}, "trainer.gradient_clip_val is nan; it must be at least 0"),
        ({"max_steps": 0}, "trainer.max_steps is 0; it must be above 0, or -1 for no end"),
        ({"seed": -5}, "seed_everything is -5; it must be at least 0 and below 2^32"),
        ({"seed": 2**32}, "seed_everything is 4294967296; it must be at least 0 and below 2^32"),
    ],
)
def test_what_lightning_would_take(trainer: dict[str, float], told: str) -> None:
    with pytest.raises(UserError) as refused:
        check_values(config(**trainer))
    assert str(refused.value) == told


def test_what_is_sound() -> None:
    check_values(config(0, max_steps=-1, max_epochs=3, gradient_clip_val=0.0, val_check_interval=0.25))
    check_values(config(2**32 - 1))
    check_values(config(val_check_interval="00:00:30:00"))
    check_values(config(val_check_interval={"minutes": 15}))
