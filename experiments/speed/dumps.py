"""Reading a Wikipedia dump: our source beside gensim's reader, in turn; writes results_dumps.json and results_dumps.md.

python experiments/speed/dumps.py path/to/pages-articles.xml.bz2 --times 2 --repeats 7
"""

import argparse
import bz2
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import HERE, ROOT, machine, spread
from gensim.corpora.wikicorpus import extract_pages, filter_wiki

from research.data.sources import Wikipedia

END = b"</mediawiki>"


def lengthened(dump: Path, times: int, into: Path) -> Path:
    """A dump with all pages of `dump` `times` over, each time a bz2 stream of its own."""
    header, first, pages = bz2.decompress(dump.read_bytes()).partition(b"  <page>")
    body = bz2.compress(first + pages[: pages.rindex(END)])
    path = into / "long.xml.bz2"
    path.write_bytes(bz2.compress(header) + times * body + bz2.compress(END))
    return path


def ours(path: Path, kept: set[str]) -> int:
    """Articles read, and made text, by our source, which finds out by itself which to keep."""
    return sum(1 for record in Wikipedia(str(path)) if record["text"])


def gensims(path: Path, kept: set[str]) -> int:
    """Articles read, and made text, by gensim, which is told which to keep and so filters no other."""
    with bz2.BZ2File(path) as stream:
        pages = extract_pages(stream, filter_namespaces=["0"])
        return sum(1 for title, markup, _ in pages if title in kept and filter_wiki(markup))


SIDES: dict[str, Callable[[Path, set[str]], int]] = {"ours": ours, "gensim": gensims}


def timed(side: str, path: Path, kept: set[str]) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    articles = SIDES[side](path, kept)
    return {
        "articles": articles,
        "a second": articles / (time.perf_counter() - wall),
        "a processor second": articles / (time.process_time() - processor),
    }


def report(results: dict[str, Any]) -> str:
    """The Markdown table: medians over repeats with their range, and ratios taken repeat by repeat."""
    of = results["machine"]
    lines = [
        f"CPU: {of['cpu']}, {of['cores']} cores; one process each; load average at the start {results['load']}.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}: {results['articles']} articles of a dump of "
        f"{results['pages']} pages, {results['megabytes']} MB of bz2.",
        "",
        "| | articles a second | articles a second of processor time | ours: times as many | in processor time |",
        "|---|---|---|---|---|",
    ]
    for side, repeats in results["runs"].items():
        cells, ratios = [side], []
        for figure in ("a second", "a processor second"):
            values = [one[figure] for one in repeats]
            cells.append(spread(values))
            faster = [o[figure] / value for o, value in zip(results["runs"]["ours"], values, strict=True)]
            ratios.append("" if side == "ours" else spread(faster))
        lines.append("| " + " | ".join([*cells, *ratios]) + " |")
    return "\n".join([*lines, "", f"Median (least to most) of {results['repeats']} repeats in turn.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--times", type=int, default=2, help="how often the dump's pages follow each other")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    load = round(os.getloadavg()[0], 1)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        path = lengthened(args.dump, args.times, Path(folder))
        # Also imports what our side needs before the clock starts.
        kept = {str(record["meta"]["title"]) for record in Wikipedia(str(args.dump))}
        for repeat in range(args.repeats):
            for side in SIDES:
                figures = timed(side, path, kept)
                runs[side].append(figures)
                print(
                    f"repeat {repeat + 1}: {side}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True
                )
        settings = f"--times {args.times} --repeats {args.repeats}"
        results = {
            "command": f"python experiments/speed/dumps.py {args.dump.name} {settings}",
            "commit": commit.strip(),
            "repeats": args.repeats,
            "articles": args.times * len(kept),
            "pages": bz2.decompress(path.read_bytes()).count(b"<page>"),
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "machine": machine(),
            "load": load,
            "runs": runs,
        }
    counts = {figures["articles"] for side in runs.values() for figures in side}
    if counts != {results["articles"]}:
        raise SystemExit(f"the sides read different articles: {counts}")
    (HERE / "results_dumps.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results_dumps.md").write_text(report(results))
    print("\n" + report(results))


if __name__ == "__main__":
    main()
