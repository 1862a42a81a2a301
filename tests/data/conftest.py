"""Sources in memory, files in a line, and streams that are connected to a tiny student."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from research.data.sources import JSONLines
from research.data.sources.source import Record, Source
from research.data.stream_module import Connection, StreamDataModule
from research.models import Student
from research.step import Clean, View


class Counted(Source):
    """Records from memory; ``reads`` counts how often they were asked for."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = [{"text": r} if isinstance(r, str) else r for r in records]
        self.reads = 0

    def __iter__(self) -> Iterator[Record]:
        self.reads += 1
        for i, record in enumerate(self.records):
            yield {"where": f"memory:{i + 1}", **record}

    def fingerprint(self) -> str:
        return json.dumps(self.records)


@pytest.fixture(scope="session")
def counted() -> type[Counted]:
    return Counted


@pytest.fixture
def json_lines(tmp_path: Path) -> Callable[..., JSONLines]:
    """A source over a new file: ``json_lines([{"text": "a", "label": "b"}])``."""

    def json_lines(rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> JSONLines:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        read = {key: key for key in ("text_pair", "label", "target") if key in rows[0]}
        return JSONLines(str(path), "text", **read)

    return json_lines


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Any]:
    """A stream on its own, set up: ``connect(CorpusDataModule(source), student)``."""

    def connect(
        module: StreamDataModule,
        student: Student,
        views: Sequence[View] = (Clean(),),
        name: str = "stream",
        seed: int = 0,
        setup: bool = True,
    ) -> StreamDataModule:
        module.connect(Connection(name, student, list(views), seed, tmp_path / "cache"))
        if setup:
            module.prepare_data()
            module.setup()
        return module

    return connect
