"""What there is to train on: the labelled records with their splits, and the unlabelled texts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from research.data.sources import Record, TextFiles
from research.data.sources.files import FileSource
from research.data.tokenised import record_hashes, share
from research.errors import UserError
from research.init.columns import columns_of, problem_of
from research.init.table import LOOKED_AT, Table, number, table_of

SPLITS = {"validation": ("validation", "valid", "dev", "val"), "test": ("test",)}  # in names of files beside "train"
SEEDS = 20  # splits that are tried, until each label is in training
PARAGRAPHS = 20  # divided by blank lines; of a corpus that has fewer each line is a text
SMALL = 1000  # records, below which a fifth is tested on instead of a tenth


@dataclass(frozen=True)
class Data:
    """Records of a source, and how a config names it.

    ``splits`` are shares or sources of their own, as a stream takes them; ``train`` are the records trained on.
    """

    kind: str
    settings: dict[str, Any]
    records: list[Record]
    train: list[Record]
    problem: str | None = None
    splits: dict[str, Any] = field(default_factory=dict)
    split_seed: int = 0

    @property
    def labels(self) -> Counter[str]:
        """Of the records trained on."""
        return Counter(name for record in self.train for name in _names(record))


def task_of(given: str, asked: dict[str, str | None], encoding: str) -> Data:
    """The records of a labelled file; files beside it, named so, are its other splits.

    Raises:
        UserError: naming file and line of what no task can be made of.
    """
    table = table_of(given, encoding)
    columns = columns_of(table, asked)
    problem = problem_of(table, columns)
    settings = table.settings | {name: _place(table, column) for name, column in columns.items()}
    records = _read(table.kind(paths=given, **settings))
    if problem == "regress":
        _check_numbers(records)
    named = {name for record in records for name in _names(record)}
    if problem in ("classify", "multilabel") and len(named) < 2:
        one = next(iter(named), "none")
        raise UserError(
            f"{records[0]['where']}: all {len(records)} rows have the label '{one}', and there is no choice"
        )
    splits: dict[str, Any] = {}
    for split, path in _beside(given).items():
        next(iter(table.kind(paths=path, **settings)))  # refuses what lacks the columns
        splits[split] = path
    splits = {"validation": 0.1, "test": 0.2 if len(records) < SMALL else 0.1} | splits
    data = Data(table.kind.__name__, {"paths": given} | settings, records, records, problem, splits)
    return _divided(data, named if problem in ("classify", "multilabel") else set())


def corpus_of(given: str, encoding: str) -> Data:
    """The unlabelled texts of a folder, a file or a glob of text, or of a file with a column of text."""
    path = Path(given).expanduser()
    splits = {"validation": 0.05, "test": 0.05}
    if path.is_dir() or re.search(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.\w+)?$", given) is None:
        coded = {} if encoding == "utf-8" else {"encoding": encoding}
        texts = _read(TextFiles(given, **coded))  # type: ignore[arg-type]
        if len(texts) < PARAGRAPHS:
            lines = _read(TextFiles(given, unit="line", **coded))  # type: ignore[arg-type]
            if len(lines) > len(texts):
                return Data("TextFiles", {"paths": given, "unit": "line"} | coded, lines, lines, None, splits)
        return Data("TextFiles", {"paths": given} | coded, texts, texts, None, splits)
    table = table_of(given, encoding)
    name = columns_of(table, {"text": None}, answers=False)["text"]
    settings = table.settings | {"text": _place(table, name)}
    texts = _read(table.kind(paths=given, **settings))
    return Data(table.kind.__name__, {"paths": given} | settings, texts, texts, None, splits)


def _read(source: FileSource) -> list[Record]:
    records = list(islice(source, LOOKED_AT))
    if not records:
        raise UserError(f"paths: {source.paths[0]}: no records; fill it or leave it out")
    return records


def _place(table: Table, column: str) -> str | int:
    return column if table.settings.get("header", True) else int(column)


def _names(record: Record) -> Sequence[str]:
    label = record.get("label")
    return [] if label is None else label if isinstance(label, list) else [str(label)]


def _check_numbers(records: Sequence[Record]) -> None:
    for record in records:
        if not number(record.get("label")):
            raise UserError(f"{record['where']}: label {record.get('label')!r} is no number, as the others are")


def _beside(given: str) -> dict[str, str]:
    """The files whose name says validation or test where the given one says train."""
    path = Path(given)
    if "train" not in path.name:
        return {}
    found = {}
    for split, words in SPLITS.items():
        paths = [path.with_name(path.name.replace("train", word)) for word in words]
        if there := [str(other) for other in paths if other.exists()]:
            found[split] = there[0]
    return found


def _divided(data: Data, named: set[str]) -> Data:
    """With the records that are trained on: the first split of them by hash in which each label is trained on.

    Raises:
        UserError: if there is none.
    """
    hashes = record_hashes(data.records)
    shares = [part for part in data.splits.values() if isinstance(part, float)]  # in the order of a stream's own
    for seed in range(SEEDS):
        place = np.searchsorted(np.cumsum(shares), share(hashes, seed), "right")  # the last place is training
        split = replace(data, train=[data.records[i] for i in np.flatnonzero(place == len(shares))], split_seed=seed)
        if len(set(place)) == len(shares) + 1 and named <= set(split.labels):
            return split
    counts = Counter(name for record in data.records for name in _names(record))
    if not counts:
        raise UserError(f"{data.records[0]['where']}: {len(data.records)} rows are too few to set some apart")
    rare, count = min(counts.items(), key=lambda item: item[1])
    where = next(record["where"] for record in data.records if rare in _names(record))
    told = f"label '{rare}' has {count} of {len(data.records)} rows"
    raise UserError(f"{where}: {told}, too few to train on it and set some rows apart; add to them or merge labels")
