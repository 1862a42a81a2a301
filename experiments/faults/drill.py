"""Breaks runs of the real program, and compares what they come to with runs left alone; writes results.json and .md.

python experiments/faults/drill.py                  # all families and modes, each in all ways
python experiments/faults/drill.py "two, shards"    # one way; the results of the others stay
python experiments/faults/drill.py --quick          # one family and mode in each way, and nothing written
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trial import HERE, Trial

from research.ablation.results import commit
from research.files import write_whole

FAMILIES = ("bert", "gpt2", "t5")
EVERY = [(family, mode) for family in FAMILIES for mode in ("joint", "sampled")]
FEW = [("bert", "joint"), ("gpt2", "sampled"), ("t5", "joint")]
ONE = [("bert", "joint")]
BESIDE = ["--run.checkpoint_async", "true"]
SHARDS = ["--trainer.strategy", "{class_path: research.strategies.FSDP, init_args: {state_dict_type: sharded}}"]
STREAMED = [
    *("--data.streams.text.class_path", "research.data.StreamedCorpusDataModule"),
    *("--data.streams.text.init_args.buffer", "32"),
]
FAULTY = ["--model.objectives.ce", "{class_path: faulty.Faulty, init_args: {stream: intents}}", "--trainer.callbacks"]
GUARD = "[{class_path: research.callbacks.LossGuard, init_args: {action: %s, spike: 8, window: 10}}]"


@dataclass(frozen=True)
class Way:
    """How a run is started, what happens to it, and in which families and modes; ``like`` are settings of a trial."""

    faults: Sequence[str]
    runs: Sequence[tuple[str, str]] = field(default_factory=lambda: FEW)
    like: dict[str, Any] = field(default_factory=dict)


WAYS = {
    "one process": Way(["all", "worker", "all", "SIGTERM", "all", "all", "disk full"], EVERY, {"workers": 1}),
    "two processes": Way(["all", "rank 0", "rank 1", "SIGTERM", "rank 0", "all", "disk full"], EVERY, {"processes": 2}),
    "two under torchrun": Way(["rank 0", "SIGTERM", "rank 1"], EVERY, {"processes": 2, "torchrun": True}),
    "two, shards": Way(["rank 0", "SIGTERM", "rank 1", "disk full"], FEW, {"processes": 2, "more": SHARDS}),
    "two, shards beside": Way(["rank 0", "all", "rank 1"], FEW, {"processes": 2, "more": [*SHARDS, *BESIDE]}),
    "one, beside": Way(["all", "SIGTERM", "disk full"], FEW, {"more": BESIDE}),
    "one, streamed": Way(["slow", "torn", "all"], FEW, {"workers": 1, "more": STREAMED, "streamed": True}),
    "one, W&B silent": Way(["all"], ONE, {"more": ["--run.wandb", "online"]}),
    "one, guard skips": Way(["all", "all"], ONE, {"more": [*FAULTY, GUARD % "skip"]}),
    "one, guard rolls back": Way(["all", "all"], ONE, {"more": [*FAULTY, GUARD % "roll_back"]}),
}
NAMES = {
    "all": "`kill -9` of all processes",
    "rank 0": "`kill -9` of rank 0",
    "rank 1": "`kill -9` of rank 1",
    "worker": "`kill -9` of a loader's worker",
    "SIGTERM": "SIGTERM",
    "disk full": "a disk that is full from here on",
    "slow": "a stream that gives nothing for a while",
    "torn": "a stream whose file ends in the middle",
}
HEAD = (
    *("fault", "on", "times", "went on, equal", "steps lost, at most"),
    *("seconds to end, at most", "processes left", "exit status"),
)
RUNS = ("family", "mode", "on", "faults after steps", "not finite", "spikes", "rolled back", "equal", "commit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"the default is all of {', '.join(WAYS)}")
    parser.add_argument("--quick", action="store_true", help="one family and mode, and nothing written")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    given = parser.parse_args()
    if unknown := set(given.ways) - WAYS.keys():
        parser.error(f"no way is called {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    kinds = [(*run, on) for on in given.ways or WAYS for run in WAYS[on].runs[: 1 if given.quick else None]]
    kinds.sort(key=lambda kind: WAYS[kind[2]].runs.index(kind[:2]))  # all ways early on
    kept = HERE / "results.json"
    done = [] if given.quick else json.loads(kept.read_text())["runs"]
    lock = threading.Lock()

    def one(kind: tuple[str, str, str]) -> bool:
        run = drill(*kind, Path(folder))
        with lock:
            done[:] = [other for other in done if key(other) != kind] + [run]
            done.sort(key=lambda run: (list(WAYS).index(run["on"]), run["family"], run["mode"]))
            if not given.quick:
                write_whole(kept, json.dumps({"runs": done}, indent=1) + "\n")
                write_whole(HERE / "results.md", "\n".join(page(done)) + "\n")
        return bool(run["equal"])

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        equal = list(pool.map(one, kinds))
    print("\n".join(page(done)))
    return int(not all(equal))


def drill(family: str, mode: str, on: str, folder: Path) -> dict[str, Any]:
    """All faults of a kind of run, one after the other."""
    way, name = WAYS[on], f"{family}-{mode}-{list(WAYS).index(on)}"
    trial = Trial(family, mode, **{"processes": 1, **way.like}, folder=folder / name)
    counts = None
    try:
        trial.leave_alone()
        equal = trial.disturb(way.faults, seed=zlib.crc32(f"{family} {mode} {on}".encode()))
        counts = trial.bad_steps()
    except (RuntimeError, subprocess.TimeoutExpired) as error:  # the other kinds go on
        print(f"{family} {mode} on {on}: {error}", file=sys.stderr)
        equal = False
    print(f"{family} {mode} on {on}: {len(trial.found)} faults, {'equal' if equal else 'DIFFERENT'}", flush=True)
    told = {"command": shlex.join(["python", *sys.argv]), "commit": commit(), "bad steps": counts}
    return {"family": family, "mode": mode, "on": on, **told, "equal": equal, "faults": trial.found}


def key(run: dict[str, Any]) -> tuple[str, str, str]:
    return run["family"], run["mode"], run["on"]


def page(runs: list[dict[str, Any]]) -> list[str]:
    """The tables, as lines of Markdown."""
    every = [{**fault, "on": run["on"], "equal": run["equal"]} for run in runs for fault in run["faults"]]
    killed = sum(fault["fault"] in ("all", "rank 0", "rank 1") for fault in every)
    workers = sum(fault["fault"] == "worker" for fault in every)
    equal = sum(run["equal"] for run in runs)
    commands = " and ".join(sorted({f"`{run['command']}`" for run in runs}))
    lines = [
        f"Made by {commands}. A checkpoint was due every 5 steps.",
        "",
        f"{len(every)} faults, {killed} of them `kill -9` of a run or of a rank and {workers} of a loader's worker, in "
        f"{len(runs)} runs: {equal} of these came to the losses, weights and moments of a run left alone, bit for bit.",
        "",
        row(*HEAD),
        row(*["---"] * len(HEAD)),
    ]
    for fault, name in NAMES.items():
        for on in WAYS:
            if found := [f for f in every if (f["fault"], f["on"]) == (fault, on)]:
                lines.append(row(name, on, *summary(found)))
    lines += ["", "A full disk stops no run: it goes on to its end, and what it could not keep is lost then."]
    lines += ["", row(*RUNS), row(*["---"] * len(RUNS))]
    for run in runs:
        steps = ", ".join(str(fault["at step"]) for fault in run["faults"])
        bad = (run["bad steps"] or {}).get
        counts = [bad(kind, "") for kind in ("not_finite", "spikes", "rolled_back")]
        lines.append(row(*key(run), steps, *counts, "yes" if run["equal"] else "NO", run["commit"]))
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
