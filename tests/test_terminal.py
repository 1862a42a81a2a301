import errno
import logging
import signal
import sys

import pytest
from torch._utils import ExceptionWrapper

from research import cli, terminal
from research.callbacks.checkpoint import Stopped
from research.errors import UserError
from research.terminal import explain, quieten


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (SystemExit(), 0, ""),
        (SystemExit(0), 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit("no"), 1, ""),
        (KeyboardInterrupt(), 130, "\nstopped\n"),
        (UserError("trainer.max_steps: no"), 2, "error: trainer.max_steps: no\n"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 2, "error: runs/a: Permission denied\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a"),
            2,
            "error: runs/a: No space left on device; make room, or move run.folder and XDG_CACHE_HOME\n",
        ),
        (
            Exception("No space left on device (os error 28)"),
            2,
            "error: a file of the run or of the cache: No space left on device; make room, or move run.folder and "
            "XDG_CACHE_HOME\n",
        ),
        (
            ValueError("\nthis\nand that"),
            1,
            "error: ValueError: this (set HYBRID_TRACEBACK=1 to see where it happened)\n",
        ),
        (
            RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. "),
            1,
            "error: a loader's worker (pid 71) was killed, as a system does that is short of memory; lower "
            "data.num_workers if it happens again, and go on with the same command and --ckpt_path last\n",
        ),
        (
            RuntimeError("[/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:2: Connection reset by peer."),
            1,
            "error: the connection to another process of this run is lost: it has ended, hangs, or is out of reach; "
            "go on with the same command and --ckpt_path last\n",
        ),
        (ValueError(), 1, "error: ValueError: no message (set HYBRID_TRACEBACK=1 to see where it happened)\n"),
    ],
)
def test_one_line_and_status(error: BaseException, status: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(error) == status
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_says_how_to_go_on(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(Stopped(number, 7)) == 128 + number
    told = f"\nstopped by {number.name} after step 7; go on with the same command and --ckpt_path last\n"
    assert capsys.readouterr().err == told


def test_error_of_a_loader_worker_is_the_one_it_raised(capsys: pytest.CaptureFixture[str]) -> None:
    """torch takes errors of workers to the main process in this wrapper, with the worker's traceback in front."""
    try:
        raise UserError("data.csv:3: too long")
    except UserError:
        wrapped = ExceptionWrapper(sys.exc_info(), "in DataLoader worker process 0")
    with pytest.raises(UserError) as raised:
        wrapped.reraise()
    assert "Traceback" in str(raised.value)
    explain(raised.value)
    assert capsys.readouterr().err == "error: data.csv:3: too long\n"


def test_our_lines_are_heard_and_those_of_the_hub_are_not() -> None:
    import huggingface_hub.utils._http as http

    quieten()
    assert logging.getLogger("research.data.task").isEnabledFor(logging.INFO)
    assert not http.logger.isEnabledFor(logging.WARNING)
    assert http.logger.isEnabledFor(logging.ERROR)


def test_any_other_error_of_a_loader_worker_is_told_without_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ConnectionError("the server said nothing")
    except ConnectionError:
        wrapped = ExceptionWrapper(sys.exc_info(), "in DataLoader worker process 0")
    with pytest.raises(ConnectionError) as raised:
        wrapped.reraise()
    assert explain(raised.value) == 1
    assert "ConnectionError: the server said nothing (set HYBRID" in capsys.readouterr().err


def test_every_command_is_known_and_told() -> None:
    assert set(cli.COMMANDS) == {*cli.TRAINING, *terminal.MODULES, *terminal.GROUPS}
    told = [line.split()[0] for line in cli.HELP.partition("commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert sorted(told) == sorted(cli.COMMANDS)
    assert cli.GROUPS.keys() == terminal.GROUPS.keys()
    for group, commands in terminal.GROUPS.items():
        assert all(f"  {command} " in cli.GROUPS[group] for command in commands)
