"""How many labels a way is worth, by hand."""

import math
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "scaling"
sys.path.insert(0, str(FOLDER))
from curve import Point, table, told, worth  # noqa: E402

BASE = {2: 0.5, 8: 0.7, 32: 0.6, 128: 0.8}


def test_worth_by_hand() -> None:
    assert worth(0.6, BASE) == pytest.approx(4), "halfway from 2 to 8 in log(labels)"
    assert worth(0.7, BASE) == pytest.approx(8), "the fewest, though 128 are as good too"
    assert worth(0.75, BASE) == pytest.approx(32 * 4**0.75)
    assert worth(0.4, BASE) == 0 and told(0, BASE) == "≤ 2"
    assert math.isinf(worth(0.9, BASE)) and told(math.inf, BASE) == "> 128"


def test_table_by_hand() -> None:
    of = {"ce": {2: (0.5, 0.5), 8: (0.7, 0.9)}, "hybrid": {2: (0.6, 0.9)}}
    points = [Point("trec", way, labels, seed, {"accuracy": accuracy, "STS-B": 0.8})
              for way, curve in of.items() for labels, seeds in curve.items()
              for seed, accuracy in enumerate(seeds)]  # fmt: skip
    rows = list(table(points, "trec"))
    assert rows[2].startswith("| 2 | ce | 0.500 ± 0.000 | 0.800 ± 0.000 | - | - |")
    assert rows[3] == "| 2 | hybrid | 0.750 ± 1.906 | 0.800 ± 0.000 | 6 | 4 to 8 |", "2 * 4^(5/6); seeds 4 and 8"
    assert rows[4].startswith("| 8 | ce |") and len(rows) == 5
