"""Ramps against numbers worked out by hand."""

import math
from typing import Any

import pytest

from research.errors import UserError
from research.ramp import Ramp


@pytest.mark.parametrize(
    ("ramp", "values"),
    [
        (Ramp(1.0, 0.2), {0.0: 1.0, 0.25: 0.8, 0.5: 0.6, 1.0: 0.2}),
        (Ramp(0.0, 2.0, "linear", 0.2, 0.6), {0.0: 0.0, 0.2: 0.0, 0.3: 0.5, 0.4: 1.0, 0.6: 2.0, 0.9: 2.0}),
        (Ramp(1.0, 0.0, "cosine"), {0.0: 1.0, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1.0: 0.0}),
        (Ramp(2.0, 4.0, "cosine", 0.5, 1.0), {0.4: 2.0, 0.625: 3 - math.sqrt(0.5), 0.75: 3.0, 1.0: 4.0}),
        (Ramp(1.0, 0.5, "step", 0.4), {0.0: 1.0, 0.39: 1.0, 0.4: 0.5, 1.0: 0.5}),
        (Ramp(0.7, 9.0, "constant"), {0.0: 0.7, 0.5: 0.7, 1.0: 0.7}),
        (Ramp(1.0, 3.0, "linear", 0.5, 0.5), {0.49: 1.0, 0.5: 3.0}),
    ],
)
def test_ramps(ramp: Ramp, values: dict[float, float]) -> None:
    for progress, expected in values.items():
        assert ramp.at(progress) == pytest.approx(expected, abs=1e-12), progress


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": -1.0}, "from -1.0 to 0.0; both must be at least 0 and finite"),
        ({"start": 1.0, "end": -0.5}, "from 1.0 to -0.5; both must be at least 0 and finite"),
        ({"start": float("nan")}, "from nan to 0.0; both must be at least 0 and finite"),
        ({"start": 1.0, "begin": 0.6, "finish": 0.5}, "begin 0.6 and finish 0.5"),
        ({"start": 1.0, "finish": 1.5}, "begin 0.0 and finish 1.5"),
        ({"start": 1.0, "begin": -0.5}, "begin -0.5 and finish 1.0"),
    ],
)
def test_impossible_ramps(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        Ramp(**settings)
    assert message in str(error.value)
