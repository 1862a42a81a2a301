"""What a cache of answers says of itself: whose they are, which tables are whole, and for which runs."""

import json
from pathlib import Path
from typing import Any

from research.data.shards import explained
from research.errors import UserError

FORMAT = 1  # raise it when the meaning of the files changes


class Manifest:
    """``manifest.json`` in the folder of a cache.

    ``owner`` is whose answers the folder holds and how they are kept; ``tables`` describes the tables that are whole,
    by name; ``runs`` are digests of the runs whose batches they cover.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "manifest.json"
        self.owner: dict[str, Any] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.runs: list[str] = []
        self.read()

    def read(self) -> None:
        """Take over what is on disk.

        Raises:
            UserError: if that cannot be read.
        """
        if self.path.exists():
            try:
                found = json.loads(self.path.read_text(encoding="utf-8"))
                self.owner, self.tables, self.runs = found["owner"], found["tables"], found["runs"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.path}: no manifest of a teacher's cache ({error})") from None

    def claim(self, owner: dict[str, Any]) -> None:
        """Say whose answers go into the folder.

        Raises:
            UserError: if it holds another teacher's, or other things.
        """
        owner = {"format": FORMAT, **owner}
        if self.owner:
            for name in owner:
                if self.owner.get(name) != owner[name]:
                    told = f"{self.folder} is a cache with another {name}"
                    raise UserError(f"--path: {told} ({self.owner.get(name)}, not {owner[name]}); name another folder")
            return
        if self.folder.exists() and any(path.name != ".lock" for path in self.folder.iterdir()):
            raise UserError(f"--path: {self.folder} is not empty, and no teacher's cache; name another folder")
        self.owner = owner
        self.save()

    def save(self) -> None:
        """Write it whole or not at all."""
        with explained(self.folder):
            building = self.path.with_suffix(".new")
            found = {"owner": self.owner, "tables": self.tables, "runs": self.runs}
            building.write_text(json.dumps(found, indent=1), encoding="utf-8")
            building.replace(self.path)
