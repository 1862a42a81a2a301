"""Answers on disk, each written when it arrives, so that nothing is paid for twice."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from research.errors import UserError

PARAMETERS = 500  # of one query; SQLite allows no more than 999 in old versions


class Store:
    """JSON answers by the digest of their request, in one SQLite file that several processes may share.

    Args:
        path: of the file; its folder is made.

    Raises:
        UserError: where the file cannot be opened, or is none of these.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )
            self._base.execute("CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY) WITHOUT ROWID")

    def __setitem__(self, request: str, answer: dict[str, Any]) -> None:
        with self._explained():
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (request, json.dumps(answer)))

    def begin(self, batch: str) -> None:
        """Note a batch under way, until :meth:`end`."""
        with self._explained():
            self._base.execute("INSERT OR REPLACE INTO batches VALUES (?)", (batch,))

    def end(self, batch: str) -> None:
        with self._explained():
            self._base.execute("DELETE FROM batches WHERE name = ?", (batch,))

    def batches(self) -> list[str]:
        with self._explained():
            return [name for (name,) in self._base.execute("SELECT name FROM batches")]

    def read(self, requests: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The answers that there are to these requests."""
        wanted, found = list(dict.fromkeys(requests)), dict[str, dict[str, Any]]()
        for start in range(0, len(wanted), PARAMETERS):
            part = wanted[start : start + PARAMETERS]
            marks = ",".join("?" * len(part))
            with self._explained():
                rows = self._base.execute(f"SELECT request, answer FROM answers WHERE request IN ({marks})", part)  # noqa: S608
                found |= {request: json.loads(answer) for request, answer in rows}
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.path}: the answers of a server cannot be kept there ({error})") from error
