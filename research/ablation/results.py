"""``results.jsonl``: what a grid asked, and a line for each of its runs, done or not."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from research.errors import UserError
from research.files import write_whole


@dataclass
class Results:
    """The first line of the file, and the others.

    ``header`` has the grid's file, the command, the commit, ``metrics`` with their direction, the names of the
    values of each of the ``axes``, the ``baseline`` and the ``seeds``. Each of ``runs`` has its ``arm`` (a value an
    axis), ``seed``, ``status`` (``done``, ``failed`` or ``missing``), ``key``, ``run`` (its folder, as seen from
    the one that holds the file) and ``options``; one that is done has ``metrics``, ``cost``, ``curve`` and
    ``examples`` besides, and one that failed its ``error``.
    """

    header: dict[str, Any]
    runs: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises:
        UserError: if there is no such file, or a line of it is torn.
        """
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # a value may hold other line ends
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; `ablate` writes it") from None
        parsed = []
        for number, line in enumerate(lines, 1):
            try:
                parsed.append(json.loads(line))
            except ValueError as error:
                raise UserError(f"{path}:{number}: no JSON: {error}") from None
        if "axes" not in parsed[0]:
            raise UserError(f"{path}:1: not the results of a grid; `ablate` writes them")
        return cls(parsed[0], parsed[1:])

    def write(self, path: Path) -> None:
        """The whole file, or none of it.

        Raises:
            UserError: if it cannot be written.
        """
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in [self.header, *self.runs]]
        write_whole(path, "".join(lines))


def commit() -> str | None:
    """Of the code that runs, if it is a checkout."""
    here = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
