"""Judged by bash, which reads the script and is asked what it would offer."""

import subprocess
from pathlib import Path

import pytest

from research.cli import COMMANDS
from research.terminal import run_command


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("shtab", reason="completion needs its extra")
    path = tmp_path_factory.mktemp("completion") / "hybrid.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert run_command(["completion", "bash"]) == 0
    return path


def test_bash_reads_the_script(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete -o filenames -F _shtab_hybrid hybrid" in script.read_text()


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
