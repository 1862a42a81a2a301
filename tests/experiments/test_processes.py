"""Two processes train as one does, and a run goes on with another number of them."""

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "processes"))
import equality


@pytest.fixture(autouse=True)
def data(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equality, "DATA", shared)


def test_losses_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for row in equality.compare("sampled, accumulated", [1, 2], tmp_path, 10):
        assert row["equal"], row
        assert row["objectives"] == 24 and row["figures"] > 24


def test_nor_do_those_of_parameters_that_are_divided(tmp_path: Path) -> None:
    (row,) = equality.compare("fsdp, t5", [1, 2], tmp_path, 6)
    assert row["equal"] and row["strategy"] == "fsdp", row


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


def test_what_stays_at_0_or_does_not_move_is_told() -> None:
    run = [
        {"loss/a": 0.0, "loss/b": 0.0, "weight/a": 1.0, "weight/b": 1.0},
        {"loss/a": 1e-9, "loss/b": 1.0, "weight/a": 1.0, "weight/b": 0.5},
    ]
    assert equality.vacuous(run, ()) == ["loss/a"]
    assert equality.vacuous(run, ("weight/a", "weight/b")) == ["loss/a", "weight/a"]


def test_what_fsdp_refuses_is_left_out_of_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equality, "backbone", lambda name, folder: str(folder / name))
    ddp, fsdp = (
        yaml.safe_load(equality.config(equality.CASES[case], tmp_path).read_text()) for case in ("joint", "fsdp")
    )
    objectives = [run["model"]["objectives"].keys() for run in (ddp, fsdp)]
    assert objectives[0] - objectives[1] == {"L2SP", "EWC"} and not objectives[1] - objectives[0]
