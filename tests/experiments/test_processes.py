"""Two processes train as one does, and a run goes on with another number of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "processes"))
import equality


@pytest.fixture(autouse=True)
def data(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equality, "DATA", shared)


def test_losses_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for row in equality.compare("sampled, accumulated", [1, 2], tmp_path, 10):
        assert row["equal"], row
        assert row["objectives"] == 23 and row["figures"] > 23


@pytest.mark.slow
@pytest.mark.parametrize("case", list(equality.CASES))
def test_in_full(case: str, tmp_path: Path) -> None:
    assert all(row["equal"] for row in equality.compare(case, [1, 2, 4], tmp_path, 50))


def test_what_differs_is_told() -> None:
    same = {"loss/a": 1.0, "validation/a/perplexity": 500.0}
    assert equality.differences([same], [same]) == {name: 0.0 for name in same}
    apart = equality.differences([same, same], [same, {"loss/a": 1.5, "validation/a/perplexity": 501.0}])
    assert apart == {"loss/a": 0.5, "validation/a/perplexity": 1 / 500}
    assert equality.differences([same], [{"loss/a": 1.0}])["validation/a/perplexity"] == float("inf")
