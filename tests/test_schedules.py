import math

import pytest
import torch
from jsonargparse import ArgumentParser

from research.errors import UserError
from research.schedules import WSD, Constant, Cosine, InverseSquareRoot, Linear, OneCycle, Rewarmed, Schedule

TOTAL = 40


def optimiser(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def reference(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def ours(schedule: Schedule, steps: int, total: int = TOTAL) -> list[float]:
    return [schedule.factor(step, total) for step in range(steps)]


@pytest.mark.parametrize("warmup", [0, 1, 7, 0.25, 55])
@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "cosine_floor", "linear_floor"])
def test_equals_transformers(name: str, warmup: int | float) -> None:
    import transformers.optimization as hf

    steps = int(warmup * TOTAL) if isinstance(warmup, float) else warmup
    schedule, expected = {
        "constant": (Constant(warmup), lambda o: hf.get_constant_schedule_with_warmup(o, steps)),
        "linear": (Linear(warmup), lambda o: hf.get_linear_schedule_with_warmup(o, steps, TOTAL)),
        "cosine": (Cosine(warmup), lambda o: hf.get_cosine_schedule_with_warmup(o, steps, TOTAL)),
        "cosine_floor": (
            Cosine(warmup, final=0.1),
            lambda o: hf.get_cosine_with_min_lr_schedule_with_warmup(o, steps, TOTAL, min_lr_rate=0.1),
        ),
        "linear_floor": (
            Linear(warmup, final=0.1),
            lambda o: hf.get_polynomial_decay_schedule_with_warmup(o, steps, TOTAL, lr_end=0.1, power=1.0),
        ),
    }[name]
    assert ours(schedule, TOTAL + 1) == pytest.approx(reference(expected(optimiser()), TOTAL + 1), abs=1e-9)


@pytest.mark.parametrize("warmup", [1, 7, 55])
def test_inverse_square_root_equals_transformers(warmup: int) -> None:
    from transformers import get_inverse_sqrt_schedule

    expected = reference(get_inverse_sqrt_schedule(optimiser(), warmup), TOTAL + 1)
    assert ours(InverseSquareRoot(warmup), TOTAL + 1) == pytest.approx(expected, abs=1e-9)


def test_inverse_square_root_without_warmup_is_the_limit() -> None:
    assert ours(InverseSquareRoot(0), 4) == pytest.approx([1, 1 / math.sqrt(2), 1 / math.sqrt(3), 0.5])


@pytest.mark.parametrize("shape", ["linear", "1-sqrt"])
@pytest.mark.parametrize(("warmup", "final"), [(8, 0.0), (0, 0.1), (0.2, 0.0)])
def test_wsd_equals_transformers(shape: str, warmup: int | float, final: float) -> None:
    from transformers import get_wsd_schedule

    steps = int(warmup * TOTAL) if isinstance(warmup, float) else warmup
    scheduler = get_wsd_schedule(optimiser(), steps, 10, TOTAL, decay_type=shape, min_lr_ratio=final)
    schedule = WSD(warmup, decay=0.25, shape=shape, final=final)
    assert ours(schedule, TOTAL + 3) == pytest.approx(reference(scheduler, TOTAL + 3), abs=1e-9)


@pytest.mark.parametrize("warmup", [0, 4, 0.3])
def test_one_cycle_equals_torch(warmup: int | float) -> None:
    share = warmup if isinstance(warmup, float) else warmup / TOTAL
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser(), max_lr=1.0, total_steps=TOTAL, pct_start=share, cycle_momentum=False
    )
    expected = reference(scheduler, TOTAL)
    assert ours(OneCycle(warmup), TOTAL) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("warmup", [4, 0.25])
def test_rewarmed_is_a_cosine_twice(warmup: int | float) -> None:
    """Of 40 steps 24 and 16; the second warm-up, of 4 steps, rises from the rate that the first phase ended with."""
    from transformers.optimization import get_cosine_with_min_lr_schedule_with_warmup as cosine

    schedule = Rewarmed(warmup, final=0.2, at=0.6)
    rates = ours(schedule, TOTAL + 3)
    first = cosine(optimiser(), 4 if warmup == 4 else 6, 24, min_lr_rate=0.2)
    second = cosine(optimiser(), 4, 16, min_lr_rate=0.2)
    assert rates[:24] == pytest.approx(reference(first, 24), abs=1e-9)
    assert rates[24:28] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[28:] == pytest.approx([*reference(second, 17)[4:], 0.2, 0.2], abs=1e-9)


EVERY = [Constant, Linear, Cosine, InverseSquareRoot, OneCycle, Rewarmed, WSD]


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("total", [1, 2, 3, 10, 997])
def test_rates_lie_in_the_unit_interval_and_the_last_step_learns(cls: type[Schedule], total: int) -> None:
    for schedule in (cls(), cls(0), cls(0.7) if cls is not WSD else WSD(0.7, decay=0.3)):
        rates = ours(schedule, total + 5, total)
        assert all(0 <= rate <= 1 for rate in rates)
        assert rates[total - 1] > 0
        assert rates[total:] == [rates[total]] * 5


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Linear(1.0), "warmup"),
        (lambda: Linear(-1), "warmup"),
        (lambda: Cosine(final=1.5), "final"),
        (lambda: Linear(final=math.nan), "final"),
        (lambda: OneCycle(initial=-0.1), "initial"),
        (lambda: Rewarmed(at=1.5), "at is"),
        (lambda: WSD(decay=2.0), "decay"),
        (lambda: WSD(0.5, decay=0.6), "decay"),
        (lambda: WSD(shape="cosine"), "shape"),
    ],
)
def test_a_setting_out_of_range_is_named(make, key: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.optimisation\.schedule: .*{key}"):
        make()


def test_yaml_tells_steps_from_shares() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--schedule", type=Schedule)

    def read(warmup: str) -> Schedule:
        text = f'{{"class_path": "research.schedules.Cosine", "init_args": {{"warmup": {warmup}}}}}'
        return parser.instantiate(parser.parse_args([f"--schedule={text}"])).schedule

    assert read("10") == Cosine(10) and isinstance(read("10").warmup, int)
    assert read("0.1") == Cosine(0.1)
    with pytest.raises(UserError, match=r"warmup is 10\.0"):
        read("10.0")
