"""Sizes as people write them."""

import pytest

from research.errors import UserError
from research.planning.quantity import duration, number, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [("80GB", 80e9), ("24GiB", 24 * 2**30), ("312T", 312e12), ("989 TFLOP/s", 989e12), ("1gb", 1e9)],
)  # fmt: skip
def test_sizes_are_read(text: str, value: float) -> None:
    assert number("--device-memory", text) == value


@pytest.mark.parametrize("text", ["", "many", "-3GB", "0", "3XB", "1.2.3G", "nanGB"])
def test_others_are_refused_by_the_name_of_the_option(text: str) -> None:
    with pytest.raises(UserError, match="--device-memory"):
        number("--device-memory", text)


def test_shown() -> None:
    sizes = [shown(1.5e9, "B"), shown(999), shown(0), shown(12_345, "tokens")]
    assert sizes == ["1.5 GB", "999", "0", "12.3 Ktokens"]
    times = [duration(3), duration(200), duration(90_000), duration(1e6)]
    assert times == ["3 seconds", "3.3 minutes", "25.0 hours", "11.6 days"]
