"""W&B itself, without a server: offline, not logged in, and a server that does not answer."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from research.callbacks import wandb_log
from research.callbacks.wandb_log import finish, wandb_logger
from research.run import Run

Told = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user without a W&B account or settings."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("W&B asked something"))
    yield
    finish(failed=False)
    sys.modules["wandb"].teardown()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What this project has logged; W&B's own log goes to a file."""
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("research")]


def started(mode: str, folder: Path) -> list:
    folder.mkdir(exist_ok=True)
    return wandb_logger(Run("a", wandb=mode, tags=["x"], group="g"), folder, {"seed": 3})  # type: ignore[arg-type]


def test_offline_run_is_kept_in_the_folder_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], told: Told
) -> None:
    folder = tmp_path / "a"
    (logger,) = started("offline", folder)
    logger.log_metrics({"loss": 0.5}, 1)
    assert logger.experiment.settings.mode == "offline"
    assert (logger.experiment.config["seed"], logger.experiment.tags, logger.experiment.group) == (3, ("x",), "g")
    finish(failed=False)
    (kept,) = (folder / "wandb").glob("offline-run-*")
    identity = (folder / "wandb_id").read_text()
    (data,) = kept.glob("*.wandb")
    assert data.name == f"run-{identity}.wandb" and b"loss" in data.read_bytes()
    assert capfd.readouterr() == ("", "")
    assert told() == []

    (logger,) = started("offline", folder)  # a resumed run goes on under the same identity
    assert logger.experiment.id == identity


def test_run_of_a_sweep_is_the_one_that_the_agent_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "chosen1")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    (logger,) = started("offline", tmp_path / "a")
    assert (logger.experiment.id, logger.experiment.sweep_id) == ("chosen1", "sweep1")
    assert (tmp_path / "a" / "wandb_id").read_text() == "chosen1"
    assert capfd.readouterr() == ("", "")


def test_online_without_login_falls_back_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], told: Told
) -> None:
    (logger,) = started("online", tmp_path / "a")
    assert logger.experiment.settings.mode == "offline"
    assert told() == ["W&B: not logged in (wandb login, or WANDB_API_KEY); this run is kept offline"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("silent", [False, True])
def test_server_out_of_reach_does_not_stop_the_run(
    silent: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port that refuses, and one that takes connections and says nothing."""
    monkeypatch.setattr(wandb_log, "INIT_TIMEOUT", 3)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not silent:
            server.close()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        start = time.perf_counter()
        (logger,) = started("online", tmp_path / "a")
        logger.log_metrics({"loss": 0.5}, 1)
        finish(failed=False)
        assert time.perf_counter() - start < 30
    assert logger.experiment.settings.mode == "offline"
    assert len(list(tmp_path.glob("a/wandb/offline-run-*"))) == 1
    (line,) = told()
    assert line.startswith("W&B: ") and line.endswith("; this run is kept offline") and "\n" not in line
    assert capfd.readouterr() == ("", "")


def test_folder_that_wandb_cannot_write_leaves_the_run_without_it(tmp_path: Path, told: Told) -> None:
    (tmp_path / "wandb_id").mkdir()
    assert started("offline", tmp_path) == []
    (line,) = told()
    assert line.startswith("W&B: ") and line.endswith("; no W&B run")


def test_finishing_without_a_run_does_nothing() -> None:
    finish(failed=False)
    finish(failed=True)
