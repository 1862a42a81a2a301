"""Our side beside one of another environment, in turn, to a table."""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clock import Side, comparison, counts, in_turn
from common import commit, environment, machine, made_by, spread, table, times, write

Line = Sequence[str | Path]
OURS = "ours"


def compare(
    part: str,
    told: str | None,
    package: str,
    prepare: Callable[[Path], None],
    ours: Callable[[Path, Line], Line],
    theirs: Callable[[Path, Line], Line],
    about: str,
) -> None:
    """Write ``results_PART``.

    Args:
        part: name of the script.
        told: what its help says.
        package: what the peer is called.
        prepare: writes into the folder of the run what both sides read.
        ours: our command, from that folder and the arguments that both sides have.
        theirs: the peer's, without its interpreter.
        about: the set-up, in a sentence under the table.
    """
    parser = comparison(told)
    parser.add_argument("--peer-python", type=Path, help=f"an interpreter that has {package}")
    args = parser.parse_args()
    if args.peer_python is None:
        print(f"{part}: left out, for want of --peer-python: an interpreter that has {package}")
        return
    given = counts(args)
    results: dict[str, Any] = {
        "command": f"python experiments/speed/{part}.py {' '.join(given)} --peer-python PATH",
        "commit": commit(),
        "machine": machine(),
        "peer": versions(args.peer_python),
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work)
        common = [*given, "--precision", "float32", "--work", work]
        lines = {OURS: ours(work, common), package: [args.peer_python, *theirs(work, common)]}
        sides = [Side(name, line, work / "errors") for name, line in lines.items()]
        runs = results["runs"] = in_turn(sides, args.repeats)
    rows = []
    for side, turns in runs.items():
        speed, memory = ([turn[name] for turn in turns] for name in ("tokens per second", "peak memory (GB)"))
        mine = [[turn[name] for turn in runs[OURS]] for name in ("tokens per second", "peak memory (GB)")]
        ratios = [spread(times(*pair)) if side != OURS else "" for pair in zip(mine, (speed, memory), strict=True)]
        loss = sum(turn["mean loss"] for turn in turns) / len(turns)
        gflop = turns[0]["FLOP per token"] / 1e9
        rows.append([side, spread(speed), spread(memory), f"{gflop:.3g}", f"{loss:.4g}", *ratios])
    head = ["", "real tokens a second", "peak resident memory, GB", "GFLOP a real token", "mean loss",
            "ours: times the tokens", "ours: share of the memory"]  # fmt: skip
    end = (
        f"{about} Median (least to most) of {args.repeats} repeats in turn. The peer's environment: {results['peer']}."
    )
    write(f"results_{part}", results, [*made_by(results), *table(head, rows), "", end])


def versions(python: Path) -> str:
    """The peer's packages that its speed depends on."""
    asked = "from importlib.metadata import version as v\nfor n in %r:\n try: print(n, v(n))\n except Exception: pass"
    names = ("torch", "transformers", "sentence-transformers", "trl")
    done = subprocess.run([python, "-c", asked % (names,)], env=environment(), capture_output=True, text=True)
    return ", ".join(done.stdout.split("\n")[:-1])
