"""Judged by the shells, which read the script and are asked what they would offer."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from research.cli import COMMANDS
from research.terminal import run_command


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    pytest.importorskip("shtab", reason="completion needs its extra")
    folder = tmp_path_factory.mktemp("completion")

    def script(shell: str) -> Path:
        path = folder / f"hybrid.{shell}"
        with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
            patch.setattr("sys.stdout", out)
            assert run_command(["completion", shell]) == 0
        return path

    return script


@pytest.fixture(scope="module")
def script(scripts: Callable[[str], Path]) -> Path:
    return scripts("bash")


def test_bash_reads_the_script(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.read_text().rstrip().endswith(" -F _shtab_hybrid hybrid")


OFFERED = """
source "$1"; shift
COMP_WORDS=(hybrid "$@"); COMP_CWORD=$#; COMPREPLY=()
_shtab_hybrid
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([""], COMMANDS),
        (["co"], ["completion", "compress"]),
        (["data", "pre"], ["prepare"]),
        (["export", "--fo"], ["--format"]),
        (["export", "--format", "on"], ["onnx"]),
        (["fit", "--trainer.max_s"], ["--trainer.max_steps"]),
        (["plan", "--pri"], ["--price", "--print_config"]),
        (["predict", "--ck"], ["--ckpt", "--ckpt_path"]),
        (["teacher", "label", "--est"], ["--estimate"]),
        (["fit", "--config", "{folder}/hy"], ["{folder}/hybrid.bash"]),
    ],
)
def test_what_is_offered(words: list[str], offered: list[str], script: Path) -> None:
    folder = str(script.parent)
    asked = [word.replace("{folder}", folder) for word in words]
    done = subprocess.run(["bash", "-c", OFFERED, "bash", script, *asked], capture_output=True, text=True)
    assert sorted(done.stdout.split()) == sorted(word.replace("{folder}", folder) for word in offered), done.stderr


BEGIN = {"zsh": 'autoload -U compinit; compinit -u -D; eval "$(cat {script})"', "tcsh": "source {script}"}
TYPED = [  # what is typed before a tab, and what then stands there
    ("data pre", "data prepare"),
    ("export --format on", "export --format onnx"),
    ("fit --trainer.max_s", "fit --trainer.max_steps"),
    ("fit --config {folder}/hybrid.{shell[0]}", "fit --config {folder}/hybrid.{shell}"),
]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_a_tab_completes(shell: str, scripts: Callable[[str], Path]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = scripts(shell)
    terminal = pexpect.spawn(shell, ["-f", "-i"], encoding="utf-8", timeout=60, dimensions=(50, 300),
                             env={**os.environ, "TERM": "xterm"})  # fmt: skip
    terminal.sendline(BEGIN[shell].format(script=script) + "; echo rea''dy")
    terminal.expect("\nready")
    for typed, there in TYPED:
        terminal.send(f"hybrid {typed.format(folder=script.parent, shell=shell)}\t")
        terminal.sendcontrol("a")  # to the line's beginning, to see the line without running it
        terminal.sendline("echo rea''d ")
        terminal.expect("\nread hybrid (.*?)\r\n")
        assert terminal.match[1].strip() == there.format(folder=script.parent, shell=shell)
