"""A task: labelled examples to classify, regress, generate from, or compare."""

import json
import logging
import math
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from research.data.batch import Example
from research.data.curriculum import Curriculum
from research.data.episodes import Episodes, Episodic
from research.data.records import cut, room
from research.data.sources import Source
from research.data.stream import Examples, Stream, StreamInfo
from research.data.stream_module import StreamDataModule
from research.data.tokenised import Column, share
from research.errors import UserError

log = logging.getLogger(__name__)

COMPANIONS = {"generate": ("target", "target"), "pair": ("text_pair", "second")}  # instead of a label: field, column


class Texts:
    """Whole texts or pairs, cut on the right to ``room`` tokens, and targets to ``target_room``.

    ``apart`` gives each text of a pair that room, instead of both together.
    """

    def __init__(
        self, table: pa.Table, rows: np.ndarray, room: int | None, target_room: int | None, apart: bool = False
    ) -> None:
        self.rows, self.room, self.target_room, self.apart = rows, room, target_room, apart
        self.first, self.second, self.target = (Column(table, name) for name in ("first", "second", "target"))
        self.full = (np.maximum if apart else np.add)(self.first.lengths[rows], self.second.lengths[rows])
        self.lengths = self.full if room is None else np.minimum(self.full, room)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        first = self.first[row].astype(np.int64)
        second = self.second[row].astype(np.int64) if self.second.present else None
        target = self.target[row].astype(np.int64)[: self.target_room] if self.target.present else None
        if self.apart:
            return Example(first[: self.room], None if second is None else second[: self.room], target)
        return Example(*cut(first, second, self.room), target)


class TaskDataModule(StreamDataModule):
    """Labelled examples, or texts that belong together.

    Args:
        source: as for every stream, like the settings not named here.
        problem: ``classify`` (one label), ``multilabel`` (a list of labels), ``regress`` (a number), ``generate``
            (a target text), or ``pair`` (a text_pair that belongs to the text, and maybe a target that does not; each
            is read by a view of its own, :class:`research.data.one_text.OneText`).
        shots: train on this many examples of each class only.
        shots_seed: which ones.
        beside: labelled examples that are trained on too, whatever ``shots`` says, such as words that name the classes.
        max_length: longer texts are cut; without it, a text longer than the student takes is an error.
        max_target_length: longest target in tokens.
        episodes: train on few-shot episodes instead of batches of ``batch_size``.
    """

    def __init__(
        self,
        source: Source,
        problem: Literal["classify", "multilabel", "regress", "generate", "pair"] = "classify",
        validation: float | Source = 0.1,
        test: float | Source = 0.0,
        split_seed: int = 0,
        batch_size: int = 16,
        max_length: int | None = None,
        curriculum: Curriculum | None = None,
        shots: int | None = None,
        shots_seed: int = 0,
        max_target_length: int = 128,
        episodes: Episodes | None = None,
        beside: Source | None = None,
    ) -> None:
        super().__init__(source, validation, test, split_seed, batch_size, max_length, curriculum)
        if shots is not None and (shots < 1 or problem != "classify"):
            raise UserError(f"data.streams: shots is {shots}; it must be at least 1 and needs problem 'classify'")
        if max_target_length < 1:
            raise UserError(f"data.streams: max_target_length is {max_target_length}; it must be at least 1")
        self.problem, self.shots, self.shots_seed, self.max_target_length = (
            problem,
            shots,
            shots_seed,
            max_target_length,
        )
        if episodes is not None and (problem != "classify" or curriculum is not None):
            raise UserError("data.streams: episodes need problem 'classify', and no curriculum")
        self.episodes, self.beside = episodes, beside
        self.labels: tuple[str, ...] = ()
        self.scale = (0.0, 1.0)

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(
            self.problem,
            self.labels,
            self.scale,
            max_target_length=self.max_target_length,
            max_length=self.max_length,
        )

    def split(self) -> None:
        super().split()
        table, rows = self.rows["train"]
        self.own = len(table)  # rows of the source; those beside it follow
        if self.beside is not None:
            more, _ = self.rows.pop("beside")
            self.rows["train"] = pa.concat_tables([table, more]), np.append(rows, self.own + np.arange(len(more)))

    def settle(self) -> None:
        values = self._values("train")
        if self.problem == "regress":
            numbers = [self._number(v, w) for v, w in values]
            self.scale = float(np.mean(numbers)), float(np.std(numbers)) or 1.0
        elif self.problem in ("classify", "multilabel"):
            seen = {label for value, where in values for label in self._names(value, where)}
            self.labels = tuple(sorted(seen))
            if len(self.labels) < 2:
                named = ", ".join(self.labels)
                raise UserError(f"{self.key('source')}: the training texts have one label alone: {named}")
        if self.shots is not None:
            self._keep_shots(values)
        for split in self.rows:
            self._labels(split)  # a label that training has not shown is refused before training
        if self.problem in COMPANIONS:
            self._check_companions(*COMPANIONS[self.problem])

    def examples(self, split: str) -> tuple[Examples, Tensor | None]:
        table, rows = self.rows[split]
        room, apart = self.room_of(table), self.problem == "pair"
        texts = Texts(table, rows, room, room if apart else self.max_target_length, apart)
        self._check_lengths(texts, table, rows, split)
        return texts, self._labels(split)

    def gold(self, split: str, index: int) -> Any:
        """The label, labels, number, or target text as the tokenizer reads it, of the record; a pair has none."""
        table, rows = self.rows[split]
        row = int(rows[index])
        if self.problem == "pair":
            return None
        if self.problem == "generate":
            return self.to.student.tokenizer.decode(table["target"][row].as_py())
        value, where = json.loads(table["label"][row].as_py()), table["where"][row].as_py()
        if self.problem == "regress":
            return self._number(value, where)
        names = self._names(value, where)
        return names if self.problem == "multilabel" else names[0]

    def training(self) -> Stream:
        if self.episodes is None:
            return super().training()
        stream, few = self.stream("train"), self.episodes
        assert stream.labels is not None
        if few.ways > len(self.labels):
            raise UserError(f"{self.key('episodes')}: ways is {few.ways}; there are {len(self.labels)} labels")
        members = [np.flatnonzero(stream.labels.numpy() == c) for c in range(len(self.labels))]
        for label, mine in zip(self.labels, members, strict=True):
            if len(mine) < few.shots + few.queries:
                need = f"shots and queries need {few.shots + few.queries}"
                raise UserError(f"{self.key('episodes')}: {need}; label '{label}' has {len(mine)} training texts")
        return Episodic(stream, few, members)

    def room_of(self, table: pa.Table) -> int | None:
        """Tokens of the longest text or pair, special ones not included."""
        pair = self.problem != "pair" and Column(table, "second").present
        try:
            return room(self.to.student, self.limit, self.info, pair)
        except UserError as error:
            raise UserError(self.key(str(error))) from None

    def _check_companions(self, field: str, column: str) -> None:
        for table, rows in self.rows.values():
            absent = np.flatnonzero(table[column].is_null().to_numpy()[rows])
            if len(absent):
                where = table["where"][int(rows[absent[0]])].as_py()
                raise UserError(f"{where}: the record has no {field}, which problem '{self.problem}' needs")

    def _check_lengths(self, texts: Texts, table: pa.Table, rows: np.ndarray, split: str) -> None:
        full = texts.full
        long = np.flatnonzero(full > texts.room) if texts.room is not None else np.zeros(0, int)
        if len(long) == 0:
            return
        if self.max_length is None:
            where = table["where"][int(rows[long[0]])].as_py()
            raise UserError(
                f"{where}: the text has {full[long[0]]} tokens, the student takes {texts.room}; "
                f"set {self.key('max_length')} to cut longer texts"
            )
        log.info("%s: %d of %d %s texts are cut to %d tokens", self.to.name, len(long), len(rows), split, self.limit)

    def _values(self, split: str) -> list[tuple[object, str]]:
        table, rows = self.rows[split]
        labels, where = table["label"].take(pa.array(rows)).to_pylist(), table["where"].take(pa.array(rows)).to_pylist()
        if self.problem not in COMPANIONS and None in labels:
            raise UserError(f"{where[labels.index(None)]}: the record has no label; name its column in the source")
        return [(None if v is None else json.loads(v), w) for v, w in zip(labels, where, strict=True)]

    def _labels(self, split: str) -> Tensor | None:
        if self.problem in COMPANIONS:
            return None
        values = self._values(split)
        if self.problem == "regress":
            mean, deviation = self.scale
            return torch.tensor([(self._number(v, w) - mean) / deviation for v, w in values])
        index = {label: i for i, label in enumerate(self.labels)}
        for value, where in values:
            for name in self._names(value, where):
                if name not in index:
                    raise UserError(
                        f"{where}: label '{name}' was not seen in training; known: {', '.join(self.labels)}"
                    )
        if self.problem == "classify":
            return torch.tensor([index[str(value)] for value, _ in values], dtype=torch.long)
        out = torch.zeros(len(values), len(self.labels))
        for line, (value, where) in zip(out, values, strict=True):
            line[[index[name] for name in self._names(value, where)]] = 1.0
        return out

    def _names(self, value: object, where: str) -> list[str]:
        if isinstance(value, list) != (self.problem == "multilabel"):
            raise UserError(f"{where}: label {value!r} does not suit problem '{self.problem}'")
        return [str(v) for v in value] if isinstance(value, list) else [str(value)]

    @staticmethod
    def _number(value: object, where: str) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{where}: label {value!r} is no finite number, which problem 'regress' needs")
        return number

    def _keep_shots(self, values: list[tuple[object, str]]) -> None:
        """Of each class the texts with the smallest hashes under ``shots_seed``, whatever their order in the file."""
        assert self.shots is not None
        table, rows = self.rows["train"]
        draw = share(self.hashes("train"), self.shots_seed + 1_000_003)
        names = np.array([str(value) for value, _ in values])
        kept = []
        for label in self.labels:
            mine = np.flatnonzero((names == label) & (rows < self.own))
            if len(mine) < self.shots:
                raise UserError(f"{self.key('shots')} is {self.shots}; label '{label}' has {len(mine)} training texts")
            kept.append(mine[np.argsort(draw[mine], kind="stable")[: self.shots]])
        kept.append(np.flatnonzero(rows >= self.own))
        self.rows["train"] = table, rows[np.sort(np.concatenate(kept))]

    def _sources(self) -> dict[str, Source]:
        return super()._sources() | ({} if self.beside is None else {"beside": self.beside})
