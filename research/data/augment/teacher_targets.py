"""Sequence-level distillation: learn to write what a teacher writes (Kim & Rush 2016, arXiv:1606.07947)."""

import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from research.data.augment.translator import Translator
from research.data.cache import default_folder, key
from research.data.sources.source import Record, Source
from research.errors import UserError

log = logging.getLogger(__name__)


class TeacherTargets(Source):
    """Each record with the teacher's best target by beam search, in place of its own if it has one.

    The targets are made once, into the cache; a run that is stopped goes on where it was. A record for which the
    teacher comes to no end within ``max_length`` is left out. Held-out shares of this source would be measured against
    the teacher: set ``validation`` and ``test`` to sources of true targets.

    Args:
        source: where the texts come from.
        teacher: a :class:`Translator` for an encoder-decoder, a :class:`Continuation` for a decoder.
        beams: width of the beam search, at least 1, which is greedy.
        batch_size: texts read at once, at least 1.
        max_length: longest text and target in the teacher's tokens, at least 1.
    """

    def __init__(
        self, source: Source, teacher: Translator, beams: int = 5, batch_size: int = 16, max_length: int = 256
    ) -> None:
        for name, value in (("beams", beams), ("batch_size", batch_size), ("max_length", max_length)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        self.source, self.teacher = source, teacher
        self.beams, self.batch_size, self.max_length = beams, batch_size, max_length

    def __iter__(self) -> Iterator[Record]:
        from filelock import FileLock

        path = default_folder() / "teacher_targets" / f"{self.fingerprint()}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                self._write(path)
        with path.open(encoding="utf-8") as lines:
            for record, line in zip(self.source, lines, strict=True):
                if (target := json.loads(line)) is not None:
                    yield {**record, "target": target}

    def fingerprint(self) -> str:
        settings = (self.beams, self.max_length)
        return key("TeacherTargets", self.source.fingerprint(), self.teacher.fingerprint(), settings)

    def _write(self, path: Path) -> None:
        """A line a record: its target, or null."""
        work = path.with_suffix(".part")
        done = self._whole_batches(work)
        teacher, records, missed = self.teacher.load(), itertools.islice(self.source, done, None), 0
        with work.open("a", encoding="utf-8") as out:
            while chunk := list(itertools.islice(records, self.batch_size)):
                targets = teacher([record["text"] for record in chunk], self.beams, self.max_length)
                out.writelines(json.dumps(target, ensure_ascii=False) + "\n" for target in targets)
                out.flush()
                missed += targets.count(None)
        log.info("the teacher wrote no target for %d of the records read now", missed)
        os.replace(work, path)

    def _whole_batches(self, work: Path) -> int:
        """How many records a stopped run has finished; of a batch that it began, nothing is kept."""
        if not work.exists():
            return 0
        lines = work.read_bytes().splitlines(keepends=True)
        whole = sum(line.endswith(b"\n") for line in lines) // self.batch_size * self.batch_size
        with work.open("r+b") as out:
            out.truncate(sum(map(len, lines[:whole])))
        return whole
