"""A run over a corpus in a bucket: stopped, and gone on with by other numbers of processes, it fetches little again."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.callbacks.metrics_log import MetricsLog
from research.data import streaming

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments" / "streaming"))
from store import Store  # noqa: E402

FILES, STEPS, STOP = 14, 34, 31  # of about 38 steps in a pass


@pytest.fixture(scope="module")
def store(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    folder = tmp_path_factory.mktemp("s") / "corpus"
    folder.mkdir()
    lines = [
        line[:100] for line in (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines() if len(line) > 30
    ]
    for i in range(FILES):
        shard = [f"{i} {lines[(i * 12 + n) % len(lines)]}" for n in range(12)]
        pq.write_table(pa.table({"text": shard}), folder / f"{i:03}.parquet")
    with Store(folder, folder.parent) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setattr(streaming, "SAMPLE", 10)
        s3fs.S3FileSystem.clear_instance_cache()  # another server's
        yield store


@pytest.fixture(scope="module")
def settings(store: Store) -> list[str]:
    source = f"{{class_path: research.data.sources.Parquet, init_args: {{paths: '{store.url}/*.parquet'}}}}"
    given = f"{{source: {source}, batch_size: 4, max_length: 64, validation: 0.1, held_out: 5, buffer: 16, lanes: 2}}"
    wiki = f"{{class_path: research.data.StreamedCorpusDataModule, init_args: {given}}}"
    return ["--data.streams.wiki", wiki, "--trainer.max_steps", str(STEPS), "--trainer.limit_val_batches", "1",
            "--model.student.dropout", "0"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(program: Any, settings: list[str]) -> list[dict[str, str]]:
    """The log of a run that nothing disturbs."""
    assert program("fit", "whole", *settings) == 0
    log: list[dict[str, str]] = program.log("whole")
    return log


def test_going_on_late_in_a_pass_fetches_little(
    program: Any, store: Store, settings: list[str], whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, fired = MetricsLog.on_train_batch_end, list[None]()

    def signal_self(self: Any, trainer: Any, *args: Any) -> None:
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == STOP and not fired:
            fired.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(MetricsLog, "on_train_batch_end", signal_self)
    store.sent()
    settings = [*settings, "--data.num_workers", "2"]
    assert program("fit", "stopped", *settings) == 128 + signal.SIGTERM
    assert len(store.sent()) == FILES
    assert program("fit", "stopped", *settings, "--ckpt_path", "last") == 0
    assert len(store.sent()) <= 7, "the first for the sample, and those of three pools"
    assert program.log("stopped") == whole and len(whole) >= STEPS


def test_two_processes_then_one(program: Any, settings: list[str], whole: Any) -> None:
    ddp = ["--config", str(ROOT / "configs/strategy/ddp.yaml"), "--trainer.devices", "2"]
    process = program.start("fit", "moved", *settings, *ddp)
    metrics = program.run_folder("moved") / "metrics.csv"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > STOP // 2):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, out
    assert program("fit", "moved", *settings, "--ckpt_path", "last") == 0
    moved = program.log("moved")
    assert len(moved) == len(whole)
    for ours, theirs in zip(moved, whole, strict=True):
        for name in ("loss/mlm", "loss/nce", "loss/ce"):
            assert float(ours[name] or 0) == pytest.approx(float(theirs[name] or 0), abs=1e-5), (ours["step"], name)
