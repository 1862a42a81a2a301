"""Runs both grids, and writes the stereotypes by type to crows/by_type.md.

python experiments/bias/run.py                  (--workers, as for ablate; --grids for one of them)

Finished runs are not repeated. Tables of the grids lie beside them.
"""

import argparse
import os
import sys
from pathlib import Path

from research.ablation.reporting.statistics import interval
from research.ablation.results import Results
from research.files import write_whole
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GRIDS = {"gaps": HERE, "stereotypes": HERE / "crows"}
FIGURE = "test/crows_pairs/"


def by_type(results: Results) -> str:
    """A row for each type of bias: the share of each arm over seeds, and the interval over pairs of its first seed."""
    runs = [run for run in results.runs if run["status"] == "done"]
    arms = list(dict.fromkeys(run["arm"]["text"] for run in runs))
    figures = [name.removeprefix(FIGURE) for name in runs[0]["metrics"] if name.startswith(FIGURE)]
    lines = [f"| type | {' | '.join(f'{arm} | one run' for arm in arms)} |", "|---|" + "---|" * 2 * len(arms)]
    for kind in (name for name in figures if "/" not in name):
        cells = []
        for arm in arms:
            of_arm = [run["metrics"] for run in runs if run["arm"]["text"] == arm]
            of = interval([one[FIGURE + kind] for one in of_arm])
            cells.append(f"{of.mean:.3f}" + (f" ± {of.half:.3f}" if of.half is not None else ""))
            cells.append(" to ".join(f"{of_arm[0][f'{FIGURE}{kind}/{end}']:.3f}" for end in ("low", "high")))
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    header = results.header
    return "\n".join([
        *lines, "",
        "The share of pairs whose more stereotypical sentence is likelier; 0.5 is none. Mean over seeds and half the "
        "width of its 95% interval (Student's t); for one run, of the first seed, the 95% interval by the bootstrap "
        "over pairs.",
        "",
        f"Commit {header['commit']}: `python experiments/bias/run.py`, seeds {header['seeds']}, crows/grid.yaml.",
        "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--grids", nargs="+", choices=GRIDS, default=list(GRIDS))
    asked = parser.parse_args()
    os.chdir(ROOT)
    for name in asked.grids:
        folder = GRIDS[name].relative_to(ROOT)
        if status := run_command(["ablate", "--config", str(folder / "grid.yaml"), "--workers", asked.workers]):
            sys.exit(status)
    if (path := HERE / "crows" / "results.jsonl").exists():
        write_whole(path.with_name("by_type.md"), by_type(Results.read(path)))


if __name__ == "__main__":
    main()
