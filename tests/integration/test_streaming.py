"""A run over a streamed corpus, stopped in the second epoch, goes on as if it had not been."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from research.callbacks.metrics_log import MetricsLog


@pytest.mark.parametrize("workers", ["0", "2"])
def test_told_to_stop(program: Any, slices: Path, workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"{{class_path: research.data.sources.TextFiles, init_args: {{paths: {slices}/wikitext.txt, unit: line}}}}"
    given = f"{{source: {source}, batch_size: 4, max_length: 32, validation: 0.1, held_out: 30}}"
    wiki = f"{{class_path: research.data.StreamedCorpusDataModule, init_args: {given}}}"
    more = ["--data.streams.wiki", wiki, "--data.num_workers", workers, "--trainer.max_steps", "14"]
    assert program("fit", f"whole-{workers}", *more) == 0
    log, fired = MetricsLog.on_train_batch_end, list[None]()

    def signal_self(self: Any, trainer: Any, *args: Any) -> None:
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 12 and not fired:
            fired.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    assert program("fit", f"stopped-{workers}", *more) == 128 + signal.SIGTERM
    assert program("fit", f"stopped-{workers}", *more, "--ckpt_path", "last") == 0
    assert program.log(f"stopped-{workers}") == program.log(f"whole-{workers}") == program.log("whole-0")
    assert len(program.log("whole-0")) >= 14
