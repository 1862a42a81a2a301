"""Keys of the environment are in no file that a run leaves and in nothing that it prints; one typed in is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECRETS = {
    "WANDB_API_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "OPENAI_API_KEY": "sk-proj-Zq8vN2mX4cB6lK1jH3gF",
    "HYBRID_TOKEN": "token-of-the-server-93817",
    "HF_TOKEN": "hf_QwErTyUiOpAsDfGhJkLzXcVbNm",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


def run(program: Any, *arguments: str, **more: str) -> str:
    """What a process of its own has printed."""
    line = [sys.executable, "-m", "research.cli", *program.arguments(*arguments)]
    environment = program.environment() | SECRETS | more
    ended = subprocess.run(line, env=environment, cwd=program.folder, text=True, capture_output=True)
    return ended.stdout + ended.stderr


def found(folder: Path) -> list[str]:
    """The secrets in any file below a folder, as they are or in UTF-16."""
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(contents) > 5
    forms = [(name, form) for name, secret in SECRETS.items() for form in (secret.encode(), secret.encode("utf-16-le"))]
    return [f"{name} in {path}" for path, content in contents.items() for name, form in forms if form in content]


def test_of_a_run(program: Any) -> None:
    pytest.importorskip("wandb")
    told = run(program, "fit", "kept", "--trainer.max_steps", "2", "--run.wandb", "offline", HYBRID_TRACEBACK="1")
    folder = program.run_folder("kept")
    assert (folder / "checkpoints" / "last.ckpt").exists() and list(folder.glob("wandb/offline-run-*/*.wandb")), told
    assert found(folder) == []
    told += run(program, "fit", "kept", "--trainer.max_steps", "nonsense", HYBRID_TRACEBACK="1")  # a failure tells more
    assert "Traceback" in told and not [name for name, secret in SECRETS.items() if secret in told]


@pytest.mark.parametrize("key", [SECRETS["OPENAI_API_KEY"], "https://me:password@host/"])
def test_typed_into_a_config(program: Any, capsys: pytest.CaptureFixture[str], key: str) -> None:
    assert program("fit", "typed", "--run.tags", f"[{key}]") == 2
    told = capsys.readouterr()
    assert told.err.startswith(
        "error: run.tags[0]: holds what looks like a key or a password, which would be saved with"
    )
    assert key not in told.out + told.err and told.err.count("\n") == 1
    assert not program.run_folder("typed").exists()
