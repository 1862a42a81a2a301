"""W&B itself, without a server: offline, not logged in, and a server that does not answer."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
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
    later = f"this run is kept offline; send it later with: wandb sync {tmp_path}/a/wandb/offline-run-*"
    assert told() == [f"W&B: not logged in (wandb login, or WANDB_API_KEY); {later}"]
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
    assert (
        line.startswith("W&B: ") and line.endswith(f"wandb sync {tmp_path}/a/wandb/offline-run-*") and "\n" not in line
    )
    assert capfd.readouterr() == ("", "")


class Server(BaseHTTPRequestHandler):
    """As much of W&B's server as a run needs to begin; once ``silent`` is set it takes requests and never answers."""

    silent = threading.Event()
    over = threading.Event()
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.silent.is_set() or b"CreateRunFiles" in asked:  # to which an empty answer is none
            self.over.wait()
            self.close_connection = True
            return
        data = {}
        if b"UpsertBucket" in asked:
            project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
            bucket = {"id": "b", "name": json.loads(asked)["variables"]["name"], "project": project, "config": "{}"}
            data = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A logger whose run has begun on a server."""
    monkeypatch.setattr(wandb_log, "FINISH_TIMEOUT", 3)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    Server.silent.clear()
    Server.over.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        (logger,) = started("online", tmp_path / "a")
        assert logger.experiment.settings.mode == "online"
        yield logger
        Server.over.set()
        finish(failed=False)
        server.shutdown()


def test_server_that_falls_silent_later_does_not_hold_up_the_run(online: Any, tmp_path: Path, told: Told) -> None:
    online.log_metrics({"loss": 0.5}, 1)
    Server.silent.set()
    start = time.perf_counter()
    for step in range(2, 1000):
        online.log_metrics({"loss": 0.25}, step)
    assert time.perf_counter() - start < 5
    finish(failed=False)
    assert time.perf_counter() - start < 30
    (folder,) = (tmp_path / "a" / "wandb").glob("run-*")
    assert told() == [
        f"W&B: the server has not taken all of this run within 3 s; send the rest later with: wandb sync {folder}"
    ]
    (data,) = folder.glob("*.wandb")
    assert data.read_bytes().count(b"loss") >= 999  # the file has each row


def test_own_process_of_wandb_that_is_killed_does_not_end_the_run(online: Any, told: Told) -> None:
    for child in psutil.Process().children(recursive=True):
        if "wandb-core" in child.name():
            child.kill()
            child.wait()
    for step in range(1, 20):
        online.log_metrics({"loss": 0.5}, step)
        time.sleep(0.01)
    online.log_hyperparams({"a": 1})
    start = time.perf_counter()
    finish(failed=False)
    assert time.perf_counter() - start < 20
    first, *more = told()
    assert first.endswith("; it hears no more of this run") and "\n" not in first
    assert len(more) <= 1


def test_folder_that_wandb_cannot_write_leaves_the_run_without_it(tmp_path: Path, told: Told) -> None:
    (tmp_path / "wandb_id").mkdir()
    assert started("offline", tmp_path) == []
    (line,) = told()
    assert line.startswith("W&B: ") and line.endswith("; no W&B run")


def test_finishing_without_a_run_does_nothing() -> None:
    finish(failed=False)
    finish(failed=True)
