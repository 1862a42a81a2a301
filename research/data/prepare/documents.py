"""Documents on their way: read from sources, handed from stage to stage, written as JSON lines."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter
from loguru import logger

from research.data.sources.files import BROKEN, open_bytes
from research.data.sources.source import Source
from research.errors import UserError


class Read(PipelineStep):
    """The documents of sources. Of all their parts, in order, task `rank` reads every `world_size`-th.

    The place of a record is the `id` of its document; the name of its source, its `meta`, and a label, pair or
    target become metadata. Blank records are left out.
    """

    type, name = "READ", "Sources"

    def __init__(self, sources: dict[str, Source]):
        super().__init__()
        self.parts = [(name, part) for name, source in sources.items() for part in source.parts()]

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for name, part in self.parts[rank::world_size]:
            with self._warnings_logged():
                for record in part:
                    if not record["text"].strip():
                        self.stat_update("blank")
                        continue
                    more = {k: v for k, v in record.items() if k in ("label", "text_pair", "target")}
                    metadata = {**record.get("meta", {}), **more, "source": name}
                    document = Document(text=record["text"], id=record["where"], metadata=metadata)
                    self.stat_update("total", f"from_{name}")
                    self.update_doc_stats(document)
                    yield document

    @contextmanager
    def _warnings_logged(self) -> Iterator[None]:
        """What a source warns of, such as a bad record that it leaves out, goes to the task's log and is counted."""
        handler = _TaskLog(self)
        logging.getLogger("research").addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger("research").removeHandler(handler)


class _TaskLog(logging.Handler):
    def __init__(self, step: PipelineStep):
        super().__init__(logging.WARNING)
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        logger.warning(record.getMessage())
        self.step.stat_update("warnings")


class Handed(PipelineStep):
    """The documents that the same task wrote into a folder in the stage before: the same ones, in the same order."""

    type, name = "READ", "Handed on"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        path = self.folder / f"{rank:05d}.jsonl.zst"
        if not path.exists():
            return  # the task had none; the report compares the sums
        try:
            with open_bytes(path) as lines:
                for line in lines:
                    yield Document(**json.loads(line))
        except BROKEN as error:
            raise UserError(f"{path}: cannot be read: {error}; remove the folder and prepare anew") from error


class Write(JsonlWriter):
    """JSON lines with `text`, `id` and `metadata`: a file `00012.jsonl.zst` for each task that has documents."""

    name = "Documents"

    def __init__(self, folder: Path, compression: str = "zstd"):
        super().__init__(str(folder), compression=compression, adapter=_row)

    def _get_output_filename(self, document: Document, rank: int | str = 0, **kwargs: Any) -> str:
        # datatrove's fills metadata into the name too, where a field "rank" of the data would win
        return str(self.output_filename.substitute(rank=str(rank).zfill(5)))


def _row(writer: PipelineStep, document: Document) -> dict[str, Any]:
    return {"text": document.text, "id": document.id, "metadata": document.metadata}
