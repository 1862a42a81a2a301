"""Real comments, and the command."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.data.sources.files import open_bytes
from research.terminal import run_command

Prepare = Callable[..., int]


@pytest.fixture(scope="session")
def comments(shared: Path) -> list[str]:
    """Real Reddit comments."""
    with open_bytes(shared / "reddit" / "comments.ndjson.zst") as file:
        lines = io.TextIOWrapper(file, "utf-8")
        return [json.loads(next(lines))["body"] for _ in range(600)]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """``prepare({"tasks": 2}, "--folder", "x")``: run the command with a config, in this process; its exit status."""

    def prepare(settings: dict[str, Any], *arguments: str) -> int:
        config = tmp_path / "prepare.yaml"
        config.write_text(yaml.safe_dump(settings, allow_unicode=True))
        return run_command(["data", "prepare", "--config", str(config), *arguments])

    return prepare
