"""Text streamed from an S3 server and from the disk: speed, memory by the size of the corpus, the price of going on.

python experiments/streaming/run.py --documents 10000 100000 1000000 --repeats 3

Writes results.json and results.md. The server runs on the same machine, so its work is in the seconds.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "speed"))

SHARD = 10_000  # documents
GROUP = 2_000
LENGTH = 200  # characters of a document, at most
BUFFER = 2_000
SOURCES = {"parquet": "Parquet", "jsonl.zst": "JSONLines"}


def write_corpus(folder: Path, kind: str, documents: int, texts: list[str]) -> None:
    """Comments over and over, each made one of its own by a number."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    folder.mkdir(parents=True)
    rows = (f"{i} {text}" for i, text in enumerate(cycle(texts)))
    for number in range(-(-documents // SHARD)):
        shard = list(islice(rows, min(SHARD, documents - number * SHARD)))
        path = folder / f"{number:05}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"text": shard}), path, row_group_size=GROUP)
        else:
            plain = "".join(json.dumps({"text": text}) + "\n" for text in shard)
            path.write_bytes(zstandard.compress(plain.encode()))


def peak() -> float:
    """The most memory that this process had, in MB; unlike that of getrusage, not its parent's."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1e3  # type: ignore[index]


def read(url: str, kind: str, place: list[int], pools: int | None) -> dict[str, Any]:
    """Read a pass, or some pools from a place on; what a process of its own does and prints."""
    import numpy as np

    from research.data import sources
    from research.data.texts import Kept, Place, Texts

    source = getattr(sources, SOURCES[kind])(url)
    before = peak()
    texts = Texts(source, Kept(0.0, 0, np.zeros(0, np.uint64)), LENGTH * 2, BUFFER, 16, [0])
    count, places, first = 0, list[list[int]](), 0.0
    start, processor = time.perf_counter(), time.process_time()
    for pool in islice(texts.pools(0, Place(*place)), pools):
        if pool.place.which:
            break
        first = first or time.perf_counter() - start
        places.append(list(pool.place))
        count += sum(map(len, pool.batches))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    return {"documents": count, "seconds": seconds, "processor": processor, "first": first,
            "grown": peak() - before, "places": places}  # fmt: skip


def child(environment: dict[str, str], *arguments: Any) -> dict[str, Any]:
    line = [sys.executable, __file__, "--read", json.dumps(arguments)]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(line, env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(documents: int, repeats: int, texts: list[str]) -> list[dict[str, Any]]:
    """A row a kind of shard."""
    from store import Store

    rows = []
    with tempfile.TemporaryDirectory() as work:
        bucket = Path(work) / "corpus"
        for kind in SOURCES:
            write_corpus(bucket / kind, kind, documents, texts)
        with Store(bucket, Path(work)) as store:
            for kind in SOURCES:
                size = sum(path.stat().st_size for path in (bucket / kind).iterdir())
                near, far = [], []
                for _ in range(repeats):
                    near.append(child(store.environment, str(bucket / kind), kind, [], None))
                    far.append(child(store.environment, f"{store.url}/{kind}", kind, [], None))
                places = far[0]["places"]
                store.sent()
                again = child(store.environment, f"{store.url}/{kind}", kind, places[len(places) * 9 // 10], 1)
                assert all(found["documents"] == documents for found in (*near, *far))
                rows.append(
                    {
                        "shards": kind,
                        "documents": documents,
                        "size (MB)": size / 1e6,
                        "disk, documents a second": [documents / found["seconds"] for found in near],
                        "S3, documents a second": [documents / found["seconds"] for found in far],
                        "disk, documents a processor second": [documents / found["processor"] for found in near],
                        "S3, documents a processor second": [documents / found["processor"] for found in far],
                        "S3, memory grown by (MB)": [found["grown"] for found in far],
                        "fetched to go on at 90% (MB)": store.sent().total() / 1e6,
                        "seconds to go on": again["first"],
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(*json.loads(args.read))))
        return
    from common import commit, machine, made_by, table

    from research.data.sources import JSONLines

    comments = JSONLines(str(ROOT / "data" / "reddit" / "comments.ndjson.zst"), text="body")
    texts = [" ".join(record["text"].split())[:LENGTH] for record in comments]
    command = (
        f"python experiments/streaming/run.py --documents {' '.join(map(str, args.documents))} --repeats {args.repeats}"
    )
    results: dict[str, Any] = {"command": command, "commit": commit(), "machine": machine(), "rows": []}
    for documents in args.documents:
        results["rows"] += measure(documents, args.repeats, texts)
        cells = [[shown(value) for value in row.values()] for row in results["rows"]]
        lines = [*made_by(results), *table(list(results["rows"][0]), cells)]
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def shown(value: str | int | float | list[float]) -> str:
    if isinstance(value, list):
        return f"{median(value):,.0f} ({min(value):,.0f} to {max(value):,.0f})"
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    main()
