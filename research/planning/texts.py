"""Texts that fill every row, in the place of a stream's own: the most that a batch can be, without reading data."""

import json
from functools import partial

import numpy as np
import pyarrow as pa

from research.data.corpus import DEFAULT_WINDOW, CorpusDataModule
from research.data.stream_module import StreamDataModule
from research.data.task import TaskDataModule
from research.data.tokenised import SCHEMA

CLASSES = 100  # of a task, which are not known before its data are read; a head of so many is small


def fill(module: StreamDataModule, batches: int) -> None:
    """Give a connected stream rows of full length for so many batches, as if it had been set up."""
    if isinstance(module, CorpusDataModule):
        module.stream = partial(CorpusDataModule.stream, module)  # type: ignore[method-assign]  # reads no source
    module.limit = module.limit or DEFAULT_WINDOW
    if isinstance(module, TaskDataModule):
        module.shots = None
        of_each = module.episodes.shots + module.episodes.queries if module.episodes else 1
        batches = max(batches, -(-CLASSES * of_each // module.batch_size))
    rows = batches * module.batch_size
    table = texts(module, rows)
    module.rows = {"train": (table, np.arange(rows))}
    module.settle()


def texts(module: StreamDataModule, rows: int) -> pa.Table:
    """A table (rows) as :func:`research.data.tokenised.tokenised` makes it."""
    student = module.to.student
    if isinstance(module, CorpusDataModule):
        room = module.room - student.family.overhead(pair=False)
        room -= module.pack == "stream"  # which closes each by the end token
    else:
        assert isinstance(module, TaskDataModule)
        whole = module.room_of(SCHEMA.empty_table())
        assert whole is not None
        room = whole
    rng = np.random.default_rng(0)
    ordinary = np.flatnonzero(~student.vocabulary.special)

    def ids(length: int) -> list[np.ndarray]:
        return [rng.choice(ordinary, length).astype(np.int32) for _ in range(rows)]

    nothing = [None] * rows
    problem = module.info.problem
    labels = [json.dumps(LABELS[problem](row)) for row in range(rows)] if problem in LABELS else nothing
    return pa.table(
        {
            "first": ids(room),
            "second": ids(room) if problem == "pair" else nothing,
            "target": ids(module.info.max_target_length) if problem == "generate" else nothing,
            "label": labels,
            "where": [f"plan:{row + 1}" for row in range(rows)],
            "hash": np.arange(rows, dtype=np.uint64),
        },
        schema=SCHEMA,
    )


LABELS = {
    "classify": lambda row: str(row % CLASSES),
    "multilabel": lambda row: [str(row % CLASSES)],
    "regress": lambda row: float(row),
}
