import fcntl
import os
import sys
from pathlib import Path
from typing import Any

import multiprocess
import pytest

from research.data.prepare.folder import Folder, occupy


def free(folder: Path) -> bool:
    """Whether no other process has locked the folder."""
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def other_process(work: Any) -> Any:
    """A forked process, and the end of a pipe by which it is heard and told to go on."""
    context = multiprocess.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there,))
    process.start()
    return process, here


def test_a_run_keeps_others_out(tmp_path: Path) -> None:
    with Folder(tmp_path / "out").locked():
        process, pipe = other_process(lambda pipe: pipe.send(free(tmp_path / "out")))
        assert pipe.recv() is False
    process.join()
    assert free(tmp_path / "out")


def test_a_worker_of_a_killed_run_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    def work(pipe: Any) -> None:
        occupy(tmp_path, None, 0, 1)
        pipe.send(None)
        pipe.recv()

    process, pipe = other_process(work)
    pipe.recv()
    assert not free(tmp_path)
    pipe.send(None)
    process.join()
    assert free(tmp_path)


def test_what_is_told_meanwhile_goes_to_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(KeyError), folder.console():
        print("from Python", file=sys.stderr)
        os.system("echo from a process >&2")
        raise KeyError
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "after\n"
    told = (folder.logs / "console.log").read_text()
    assert "from Python\n" in told and "from a process\n" in told
