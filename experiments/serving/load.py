"""Requests a second and latency of our server and of a plain pipeline behind FastAPI, in turn, with the same weights.

python -m research.cli fit --config experiments/serving/student.yaml
python experiments/serving/load.py --ckpt runs/served

It needs wrk, a load generator in C that leaves the cores to the servers (Debian: apt-get install wrk). Each of so many
clients sends its next text when it has an answer. Writes results.json, results.md and results.png.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from research.ablation.results import commit
from research.evaluation.plot import canvas, save
from research.files import write_whole
from research.precision import native_bfloat16

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PORT = 8765
OURS = "ours"
CORES = os.cpu_count() or 1


def servers(ckpt: Path) -> dict[str, tuple[list[str], dict[str, str], str]]:
    """The command line of each, its environment, and what it calls a text."""
    ours = [sys.executable, "-m", "research.cli", "serve", "--ckpt", str(ckpt), "--port", str(PORT)]
    peer = [sys.executable, "-m", "uvicorn", "peer:app", "--port", str(PORT), "--log-level", "warning", "--workers"]
    given = {"PEER_CKPT": str(ckpt)}
    several = [*ours, "--workers", str(CORES)]
    bfloat16 = {f"{OURS}, bfloat16": ([*several, "--precision", "bf16"], {}, "texts")} if native_bfloat16() else {}
    return {
        f"{OURS}, one worker": (ours, {}, "texts"),
        OURS: (several, {}, "texts"),
        **bfloat16,
        f"{OURS}, int8": ([*several, "--precision", "int8"], {}, "texts"),
        f"pipeline, one process, {CORES} threads": ([*peer, "1"], {**given, "PEER_THREADS": str(CORES)}, "text"),
        f"pipeline, {CORES} processes": ([*peer, str(CORES)], {**given, "OMP_NUM_THREADS": "1"}, "text"),
    }


@contextmanager
def started(line: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """A server from its first answer on; it is gone afterwards."""
    with tempfile.TemporaryFile() as log:
        own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        process = subprocess.Popen(line, cwd=HERE, stderr=log, env={**own, "PYTHONPATH": str(ROOT), **environment})
        try:
            until = time.monotonic() + 600
            while not healthy():
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    sys.exit(f"{' '.join(line)} does not answer:\n{log.read().decode()[-2000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


def healthy() -> bool:
    try:
        return bool(urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2).status == 200)
    except (URLError, OSError):
        return False


def said(key: str, text: str) -> tuple[str, float]:
    """The label that a server answers, and its probability."""
    body = json.dumps({key: text}).encode()
    asked = Request(f"http://127.0.0.1:{PORT}/predict", body, {"Content-Type": "application/json"})
    with urlopen(asked) as answer:
        found = json.load(answer)
    if key == "text":
        return found["label"], found["score"]
    first = found["answers"][0]
    return first["label"], first["probabilities"][first["label"]]


def loaded(clients: int, seconds: float, key: str, texts: Path) -> dict[str, float]:
    """What wrk measures of so many clients."""
    line = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "60s", "-s", str(HERE / "post.lua"),
            f"http://127.0.0.1:{PORT}/predict", "--", str(texts), key]  # fmt: skip
    out = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(next(row for row in out.splitlines() if row.startswith("JSON "))[5:])
    if not found["requests"]:
        sys.exit(f"error: no answer to {clients} clients within {seconds:g} s: other work leaves no room to measure")
    return {"clients": clients, "requests a second": found["requests"] / found["seconds"], **found}


def most_within(points: Sequence[Mapping[str, float]], limit: float) -> float:
    """The most requests a second at a p95 of at most ``limit`` ms, on the line between points of rising load."""
    best = max((p["requests a second"] for p in points if p["p95"] <= limit), default=0.0)
    for low, high in pairwise(points):
        if low["p95"] <= limit < high["p95"]:
            share = (limit - low["p95"]) / (high["p95"] - low["p95"])
            between = low["requests a second"] + share * (high["requests a second"] - low["requests a second"])
            best = max(best, between)
    return best


def compared(turn: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Each of ours against the best peer at each p95 that a peer had, in one repeat."""
    peers = {name: points for name, points in turn.items() if not name.startswith(OURS)}
    rows = []
    for limit in (point["p95"] for points in peers.values() for point in points):
        peer = max(most_within(points, limit) for points in peers.values())
        mine = {name: most_within(points, limit) for name, points in turn.items() if name not in peers}
        rows.append({"p95": limit, "best peer": peer, "ours": mine})
    return rows


def at_most_of_peer(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of the p95 at which the best peer is 95 % of its fastest, with the least latency."""
    top = max(row["best peer"] for row in rows)
    return min((row for row in rows if row["best peer"] >= 0.95 * top), key=lambda row: row["p95"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, default=ROOT / "runs" / "served")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--seconds", type=float, default=8.0, help="a point")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the results")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("error: wrk is not here; Debian has it: apt-get install wrk")
    with (ROOT / "data" / "banking77" / "test.csv").open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    results: dict[str, Any] = {
        "command": f"python experiments/serving/load.py --clients {' '.join(map(str, args.clients))} "
        f"--seconds {args.seconds:g} --repeats {args.repeats}",
        "config": "experiments/serving/student.yaml", "seed": 7,
        "commit": commit(), "cores": CORES, "load average before": round(os.getloadavg()[0], 1),
        "repeats": [],
    }  # fmt: skip
    answers: dict[str, list[tuple[str, float]]] = {}
    sides = servers(args.ckpt.resolve())
    with tempfile.TemporaryDirectory() as work, tqdm(total=args.repeats * len(sides) * len(args.clients)) as bar:
        path = Path(work) / "texts"
        path.write_text("".join(json.dumps(text) + "\n" for text in texts))
        for _ in range(args.repeats):
            turn: dict[str, Any] = {}
            for name, (line, environment, key) in sides.items():
                bar.set_description(name)
                with started(line, environment):
                    answers[name] = [said(key, text) for text in texts[:50]]
                    loaded(8, 2, key, path)  # to warm up
                    turn[name] = []
                    for clients in args.clients:
                        turn[name].append(loaded(clients, args.seconds, key, path))
                        bar.update()
            results["repeats"].append({"points": turn, "compared": compared(turn)})
    results["differences in 50 answers"] = {
        name: {
            "labels": sum(a[0] != b[0] for a, b in zip(answers[OURS], given, strict=True)),
            "probability at most": max(abs(a[1] - b[1]) for a, b in zip(answers[OURS], given, strict=True)),
        }
        for name, given in answers.items()
        if name != OURS
    }
    write_whole(args.out / "results.json", json.dumps(results, indent=1) + "\n")
    lines = described(results, list(sides), args.clients)
    write_whole(args.out / "results.md", "\n".join(lines) + "\n")
    drawn(results, list(sides), args.out / "results.png")
    print("\n".join(lines))


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def described(results: Mapping[str, Any], names: Sequence[str], clients: Sequence[int]) -> list[str]:
    """The lines of results.md: medians of the repeats, least and most in brackets."""
    turns = results["repeats"]
    best = [at_most_of_peer(turn["compared"]) for turn in turns]
    lines = [
        f"{results['cores']} cores, load average before {results['load average before']}. Made by "
        f"`{results['command']}` at commit {results['commit']}, with the student of {results['config']} "
        f"(seed {results['seed']}). Median of {len(turns)} repeats, least and most in brackets.",
        "",
        "| where the best pipeline is at its fastest | measured | goal |",
        "| --- | --- | --- |",
        f"| p95 (ms) | {spread([row['p95'] for row in best])} | |",
        f"| requests a second, best pipeline | {spread([row['best peer'] for row in best])} | |",
        *(
            f"| requests a second, {name}, at that p95 | {spread([row['ours'][name] for row in best])} | |"
            for name in best[0]["ours"]
        ),
        *(
            f"| times, {name} | {spread([row['ours'][name] / row['best peer'] for row in best])} | 3 |"
            for name in best[0]["ours"]
        ),
        "",
        "| clients | " + " | ".join(f"{name}: requests a second | p95 (ms)" for name in names) + " |",
        "| --- |" + " --- | --- |" * len(names),
    ]
    for i, count in enumerate(clients):
        cells = []
        for name in names:
            points = [turn["points"][name][i] for turn in turns]
            cells += [spread([p["requests a second"] for p in points]), spread([p["p95"] for p in points])]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    failed = sum(p["failed"] for turn in turns for points in turn["points"].values() for p in points)
    lines += ["", f"Requests that failed: {failed:.0f}."]
    for name, found in results["differences in 50 answers"].items():
        lines.append(
            f"Of 50 answers, ours and those of {name}: {found['labels']} labels differ, "
            f"probabilities by at most {found['probability at most']:.1e}."
        )
    return lines


def drawn(results: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    figure, axes = canvas()
    for i, name in enumerate(names):
        for turn in results["repeats"]:
            points = turn["points"][name]
            label = name if turn is results["repeats"][0] else None
            axes.plot([p["requests a second"] for p in points], [p["p95"] for p in points],
                      "osvDx"[i % 5] + "-", color=f"C{i}", label=label)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("p95 (ms)")
    axes.set_title("From left to right, more clients at once; a line a repeat")
    save(figure, axes, path)


if __name__ == "__main__":
    main()
