import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from research.callbacks.csv_log import CSVLog
from research.errors import UserError
from research.run import CHOSEN, Run, loggers


@pytest.fixture(autouse=True)
def no_folder_chosen() -> Iterator[None]:
    os.environ.pop(CHOSEN, None)
    yield
    os.environ.pop(CHOSEN, None)


def new(run: Run) -> str:
    """The name of the folder of the next run, as another command would choose it."""
    os.environ.pop(CHOSEN, None)
    return run.new_folder().name


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"checkpoint_every": 0}, "run.checkpoint_every is 0; it must be at least 1"),
        ({"name": "../up"}, "run.name is '../up'; use letters, digits and .+-_ alone"),
        ({"name": ""}, "run.name is ''; use letters, digits and .+-_ alone"),
    ],
)
def test_refuses(settings: dict, told: str) -> None:
    with pytest.raises(UserError) as raised:
        Run(**settings)
    assert str(raised.value) == told


def test_folders_are_numbered_and_never_used_twice(tmp_path: Path) -> None:
    run = Run("a", str(tmp_path / "new" / "runs"))
    assert run.versions() == []
    names = [new(run) for _ in range(11)]
    assert names == ["a", *(f"a-{n}" for n in range(2, 12))]
    assert [path.name for path in run.versions()] == names  # a-10 after a-9, not after a-1
    assert new(Run("a+b", run.folder)) == "a+b"
    assert [path.name for path in run.versions()] == names


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        names = pool.map(new, [Run("a", str(tmp_path))] * 60, chunksize=1)
    assert len({*names}) == 60


def test_processes_of_one_run_share_its_folder(tmp_path: Path) -> None:
    run = Run("a", str(tmp_path))
    folder = run.new_folder()
    assert os.environ[CHOSEN] == str(folder)
    assert run.new_folder() == folder
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^run\.folder .*/file/runs: cannot be written \(Not a directory\)$"):
        Run("a", str(tmp_path / "file" / "runs")).new_folder()
    assert CHOSEN not in os.environ


def test_last_checkpoints_are_of_the_newest_run_that_has_any(tmp_path: Path) -> None:
    run = Run("a", str(tmp_path))
    with pytest.raises(UserError, match=f"--ckpt_path last: no checkpoint of a run named 'a' under {tmp_path}/"):
        run.last_checkpoints()
    for name in ("a", "a-2", "a-10", "b"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "last.ckpt").write_text(name)
    (tmp_path / "a-11").mkdir()  # stopped before its first checkpoint
    last, previous = (tmp_path / "a-10" / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    assert run.last_checkpoints() == [last]
    previous.write_text("a")
    assert run.last_checkpoints() == [last, previous]
    last.unlink()  # a kill came between the two renamings
    assert run.last_checkpoints() == [last, previous]


def test_loggers_are_those_asked_for(tmp_path: Path) -> None:
    (only,) = loggers(Run("a", wandb="disabled"), tmp_path, {})
    assert isinstance(only, CSVLog) and only.path == tmp_path / "metrics.csv"
    pytest.importorskip("tensorboard")
    first, second = loggers(Run("a", wandb="disabled", tensorboard=True), tmp_path, {})
    second.log_metrics({"loss": 1.5}, 3)
    second.finalize("success")
    assert isinstance(first, CSVLog)
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    assert b"loss" in events.read_bytes()
