"""Reads the batches that a fit would read, and writes what the teacher answers to those of their rows that are new."""

import logging
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from tqdm import tqdm  # type: ignore[import-untyped]

from research.data.batch import Batch
from research.errors import UserError
from research.models.teachers.caching.kinds import Kind
from research.models.teachers.caching.manifest import Manifest
from research.models.teachers.caching.recorder import Recorder
from research.models.teachers.caching.rows import row_keys, select
from research.models.teachers.caching.table import Appender, finish
from research.step import Step, View

log = logging.getLogger(__name__)

SECONDS, BYTES = 60.0, 64_000_000  # of a shard, at most: a writer that is killed loses no more


class Writer(Callback):
    """Takes the place of training in a fit: everything is set up as for training, then the batches are only read.

    What is asked of the teacher is taken down when the objectives see the first batch of each stream. Each process
    writes the answers to its own batches.

    Args:
        manifest: of the cache, claimed by this teacher.
        run: a digest of what decides the batches.
        recorder: the module's teacher.
    """

    def __init__(self, manifest: Manifest, run: str, recorder: Recorder) -> None:
        self.manifest, self.run, self.recorder = manifest, run, recorder
        self.kinds: dict[str, dict[View, set[Kind]]] = {}  # asked of each stream
        self.tables: dict[str, Appender] = {}
        self.rows = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        self.module, self.rank = module, trainer.global_rank
        flushed = time.monotonic()
        for stream, batch in self._batches(trainer):
            if stream not in self.kinds:
                self.kinds[stream] = self._asked(stream, batch.to(module.device))
            for view, kinds in self.kinds[stream].items():
                self._write(stream, batch, view, kinds)
            if time.monotonic() - flushed > SECONDS or sum(t.size for t in self.tables.values()) > BYTES:
                self._flush()
                flushed = time.monotonic()
        self._flush()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self._publish()
        trainer.strategy.barrier()
        trainer.should_stop = True

    def _batches(self, trainer: Trainer) -> Iterator[tuple[str, Batch]]:
        """All that this process would train on in the run, then what it would measure."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        steps = self.module.total_steps * trainer.accumulate_grad_batches
        loader = islice(iter(data.train_dataloader()), steps)
        for batches, _, _ in tqdm(loader, "asking the teacher", steps, unit=" steps", disable=not sys.stderr.isatty()):
            yield from ((stream, batch) for stream, batch in batches.items() if batch is not None)
        for split, limit in (("validation", trainer.limit_val_batches), ("test", trainer.limit_test_batches)):
            for stream in data.held_out_streams(split):
                part = data.streams[stream].stream(split)
                positions = range(trainer.global_rank, len(part), trainer.world_size)
                most = limit if isinstance(limit, int) else int(len(positions) * limit)
                yield from ((stream, part[position]) for position in positions[:most])

    @torch.enable_grad()  # some objectives need a gradient to know their loss
    def _asked(self, stream: str, batch: Batch) -> dict[View, set[Kind]]:
        objectives = [o for o in self.module.objectives.values() if o.stream == stream]
        views = list(dict.fromkeys(view for o in objectives for view in o.views()))
        step = Step({stream: batch}, self.module.student, self.recorder, {stream: views})
        for objective in objectives:
            objective(step)
        asked = {view: kinds for (name, view), kinds in self.recorder.asked.items() if name == stream}
        for view in asked:
            if type(view).finish is not View.finish:
                told = f"the view {type(view).__name__} changes with the student's weights"
                raise UserError(f"data.streams.{stream}: {told}, so answers to it cannot be cached")
        return asked

    def _write(self, stream: str, batch: Batch, view: View, kinds: set[Kind]) -> None:
        """Ask the teacher about the rows that a table lacks."""
        tokens = batch.views[view]
        keys = row_keys(tokens)
        missing = {kind: self._table(kind).missing(keys) for kind in kinds}
        rows = np.flatnonzero(np.any(list(missing.values()), axis=0)) if missing else np.zeros(0, int)
        if not len(rows):
            return
        asked = select(tokens, rows).to(self.module.device)
        answer = self.recorder.teacher.answer(stream, view, asked)
        for kind, absent in missing.items():
            table = self._table(kind)
            for row, cells in zip(rows, kind.cells(answer, asked, table.folder), strict=True):
                if absent[row]:
                    table.add(int(keys[row]), cells)
        self.rows += len(rows)

    def _table(self, kind: Kind) -> Appender:
        if kind.name not in self.tables:
            self.tables[kind.name] = Appender(self.manifest.folder / kind.name, self.rank)
        return self.tables[kind.name]

    def _flush(self) -> None:
        for table in self.tables.values():
            table.flush()
        log.info("%s: %s new rows", self.manifest.folder, f"{self.rows:,}")

    def _publish(self) -> None:
        asked = {kind for views in self.kinds.values() for kinds in views.values() for kind in kinds}
        if not asked:
            raise UserError("model.teacher: no objective asks it for anything, so there is nothing to cache")
        for kind in asked:
            self.manifest.tables[kind.name] = finish(self.manifest.folder / kind.name)
        self.manifest.runs.append(self.run)
        self.manifest.save()
