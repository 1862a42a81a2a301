"""Kills runs of the real program, and compares what they come to with runs left alone; writes results.json and .md.

python experiments/faults/drill.py             # all families and modes, on one and two processes
python experiments/faults/drill.py --quick     # one of each kind
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trial import HERE, Trial

from research.ablation.results import commit

FAULTS = {  # by what the run is started on
    "one process": ["all", "worker", "all", "SIGTERM", "all", "all", "disk full"],
    "two processes": ["all", "rank 0", "rank 1", "SIGTERM", "rank 0", "all", "disk full"],
    "two under torchrun": ["rank 0", "rank 1"],
}
STARTS = {  # the settings of a trial
    "one process": {"processes": 1, "workers": 1},
    "two processes": {"processes": 2},
    "two under torchrun": {"processes": 2, "torchrun": True},
}
NAMES = {
    "all": "`kill -9` of all processes",
    "rank 0": "`kill -9` of rank 0",
    "rank 1": "`kill -9` of rank 1",
    "worker": "`kill -9` of a loader's worker",
    "SIGTERM": "SIGTERM",
    "disk full": "a disk that is full from here on",
}
HEAD = (
    *("fault", "on", "times", "went on, equal", "steps lost, at most"),
    *("seconds to end, at most", "processes left", "exit status"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one family and mode, and nothing written")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    given = parser.parse_args()
    kinds = [(family, mode, on) for family in ("bert", "gpt2", "t5") for mode in ("joint", "sampled") for on in FAULTS]
    if given.quick:
        kinds = [("bert", "sampled", on) for on in FAULTS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        done = list(pool.map(lambda kind: drill(*kind, Path(folder)), kinds))
    if not given.quick:
        results = {"command": " ".join(["python", *sys.argv]), "commit": commit(), "runs": done}
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text("\n".join(page(results)) + "\n")
    print("\n".join(page({"command": "", "commit": "", "runs": done})))
    return int(not all(run["equal"] for run in done))


def drill(family: str, mode: str, on: str, folder: Path) -> dict[str, Any]:
    """All faults of a kind of run, one after the other."""
    trial = Trial(family, mode, folder=folder / f"{family}-{mode}-{on.replace(' ', '-')}", **STARTS[on])
    try:
        trial.leave_alone()
        equal = trial.disturb(FAULTS[on], seed=zlib.crc32(f"{family} {mode} {on}".encode()))
    except (RuntimeError, subprocess.TimeoutExpired) as error:  # the other kinds go on
        print(f"{family} {mode} on {on}: {error}", file=sys.stderr)
        equal = False
    print(f"{family} {mode} on {on}: {len(trial.found)} faults, {'equal' if equal else 'DIFFERENT'}", flush=True)
    return {"family": family, "mode": mode, "on": on, "equal": equal, "faults": trial.found}


def page(results: dict[str, Any]) -> list[str]:
    """The tables, as lines of Markdown."""
    runs = results["runs"]
    every = [{**fault, "on": run["on"], "equal": run["equal"]} for run in runs for fault in run["faults"]]
    killed = sum(fault["fault"] not in ("SIGTERM", "disk full") for fault in every)
    equal = sum(run["equal"] for run in runs)
    lines = [
        f"Made by `{results['command']}` at commit {results['commit']}. A checkpoint was due every 5 steps.",
        "",
        f"{len(every)} faults, {killed} of them `kill -9`, in {len(runs)} runs: {equal} of these came to the losses, "
        "weights and moments of a run left alone, bit for bit.",
        "",
        row(*HEAD),
        row(*["---"] * len(HEAD)),
    ]
    for fault, name in NAMES.items():
        for on in FAULTS:
            if found := [f for f in every if (f["fault"], f["on"]) == (fault, on)]:
                lines.append(row(name, on, *summary(found)))
    lines += ["", "A full disk stops no run: it goes on to its end, and what it could not keep is lost then."]
    lines += ["", "| family | mode | on | faults after steps | equal |", "| --- | --- | --- | --- | --- |"]
    for run in runs:
        steps = ", ".join(str(fault["at step"]) for fault in run["faults"])
        lines.append(row(run["family"], run["mode"], run["on"], steps, "yes" if run["equal"] else "NO"))
    return lines


def summary(found: list[dict[str, Any]]) -> Iterable[Any]:
    yield len(found)
    yield sum(fault["equal"] for fault in found)
    yield max(fault["steps lost"] for fault in found)
    yield max(fault["seconds to end"] for fault in found)
    yield sum(fault["left running"] for fault in found)
    yield ", ".join(sorted({str(fault["exit status"]) for fault in found if fault["exit status"] is not None}))


def row(*cells: Any) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
