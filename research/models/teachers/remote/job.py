"""What labelling and generating share: requests of many items, an estimate, and JSON lines of the answers."""

import json
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from research.errors import UserError
from research.models.teachers.remote.batches import MOST_REQUESTS
from research.models.teachers.remote.server import Request, Server
from research.models.teachers.remote.spending import Tokens

log = logging.getLogger(__name__)

TOGETHER = 1000  # items whose requests are made at once


class Job(ABC):
    """Subclasses say what to ask for each item, and what line its answers make.

    Args:
        server: who is asked.
        out: the file of JSON lines; it is written when all is answered, whole or not at all.
    """

    def __init__(self, server: Server, out: str) -> None:
        self.server, self.out = server, Path(out)

    @abstractmethod
    def items(self) -> Iterator[tuple[Any, list[Request]]]:
        """Each item with its requests, the same ones in each iteration."""

    @abstractmethod
    def line(self, item: Any, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """What is written of an item, or none."""

    def estimate(self) -> Tokens:
        """The most tokens that the requests which are not answered on disk can take."""
        estimate = self.server.estimate([request for _, each in chunk for request in each] for chunk in self._chunks())
        log.info(estimate.told(self.server.prices, self.server.purse.limit))
        return estimate.most

    def run(self) -> None:
        """Ask what is not answered yet, and write the file."""
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            work = self.out.with_name(f"{self.out.name}.new")
            written, dropped = self._write(work)
            os.replace(work, self.out)
        except OSError as error:
            raise UserError(f"out: {self.out}: {error.strerror}") from error
        spent = f"; {self.server.purse.spent:.4g} spent" if self.server.prices else ""
        log.info(f"{self.out}: {written:,} lines, {dropped:,} answers of no use left out{spent}")

    def _write(self, path: Path) -> tuple[int, int]:
        count = [0, 0]  # left out, written
        try:
            with (
                path.open("w", encoding="utf-8") as file,
                tqdm(unit=" answers", disable=not sys.stderr.isatty()) as bar,
            ):
                for chunk in self._chunks():
                    answers = iter(self.server.ask([request for _, each in chunk for request in each], bar.update))
                    for item, requests in chunk:
                        line = self.line(item, list(islice(answers, len(requests))))
                        count[line is not None] += 1
                        if line is not None:
                            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return count[1], count[0]

    def _chunks(self) -> Iterator[list[tuple[Any, list[Request]]]]:
        items = self.items()
        while chunk := list(islice(items, MOST_REQUESTS if self.server.batch else TOGETHER)):
            yield chunk
