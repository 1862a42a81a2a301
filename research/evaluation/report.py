"""``report RUN...``: runs side by side, finished or not, as logged: a table, what looks wrong, and a page."""

import json
import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median

from research.arguments import Parser
from research.errors import UserError
from research.evaluation.diagnosis import diagnose
from research.evaluation.plot import without_middle
from research.evaluation.run_log import RunLog
from research.run import Run

COLUMNS = 80
NAME = 39  # characters of a name: the figure's and a run's, with two spaces between them, fit into a line


def figures(folder: Path) -> dict[str, float]:
    """The test figures of a run, its median throughput, training time and peak memory.

    Raises:
        UserError: if the folder holds no finished run.
    """
    if not (folder / "fit.json").is_file():
        raise UserError(f"{folder}: not the folder of a finished run (it has no fit.json)")
    return figures_of(RunLog.read(folder))


def figures_of(log: RunLog) -> dict[str, float]:
    """What is known so far of a run's test figures, steps, time, throughput and memory."""
    curves, fit = log.curves, log.fit
    out = {name.removeprefix("test/"): value for name, value in log.test.items()}
    out |= {"steps": log.steps} if fit is None else {"steps": fit["steps"], "training seconds": fit["seconds"]}
    if "tokens_per_second" in curves:
        out["tokens per second"] = median(curves["tokens_per_second"][1])
    if "waiting_for_data" in curves:
        out["waiting for data (%)"] = 100 * median(curves["waiting_for_data"][1])
    if "peak_memory_gb" in curves:
        out["peak memory (GB)"] = curves["peak_memory_gb"][1].max() if fit is None else fit["peak_memory_gb"]
    return out


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """A text table: a row a figure, a column a run; ``-`` where a run has no such figure."""
    named = cells_of(columns.values())
    rows = [["", *columns], *([name, *row] for name, row in named.items())]
    cells = [[without_middle(cell, NAME) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
             for row in cells]  # fmt: skip
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def tables(columns: Mapping[str, Mapping[str, float]]) -> str:
    """As many tables below one another as it takes to keep each within :data:`COLUMNS`, or a column each."""
    names, parts = list(columns), list[str]()
    while names:
        count = len(names)
        while count > 1 and len(table({n: columns[n] for n in names[:count]}).partition("\n")[0]) > COLUMNS:
            count -= 1
        parts.append(table({n: columns[n] for n in names[:count]}))
        names = names[count:]
    return "\n\n".join(parts)


def cells_of(runs: Collection[Mapping[str, float]]) -> dict[str, list[str]]:
    """The rows of a table by the name of the figure, a cell a run."""
    return {name: [shown(run.get(name)) for run in runs] for name in dict.fromkeys(n for run in runs for n in run)}


def shown(value: float | None) -> str:
    """Four significant digits, whole numbers whole."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def main(arguments: list[str]) -> int:
    """Print the table of the runs named on the command line and what looks wrong, and write the page."""
    parser = Parser(prog="python -m research.cli report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--newest", action="store_true", help="of each RUN the newest version: RUN, RUN-2, RUN-3 ...")
    parser.add_argument("--json", action="store_true", help="print figures and findings as JSON, and write no page")
    parser.add_argument("--page", type=Path, help="default: report.html in the folder that holds all RUNs, or in RUN")
    chosen = parser.parse_args(arguments)
    runs: list[Path] = chosen.runs
    if chosen.newest:
        runs = [(Run(name=run.name, folder=str(run.parent)).versions() or [run])[-1] for run in runs]
    logs = [RunLog.read(run, name) for run, name in titles(runs).items()]
    columns = {log.name: figures_of(log) for log in logs}
    findings = [finding for log in logs for finding in diagnose(log)]
    if chosen.json:
        print(json.dumps({"runs": columns, "findings": list(map(str, findings))}))
        return 0
    print(tables(columns))
    print("\nwhat looks wrong")
    for line in list(map(str, findings)) or ["nothing that is checked here"]:
        print(textwrap.fill(line, COLUMNS, initial_indent="  - ", subsequent_indent="    ", break_long_words=False))
    page = chosen.page or Path(os.path.relpath(os.path.commonpath([run.resolve() for run in runs]))) / "report.html"
    from research.evaluation.page import write_page  # matplotlib is slow to import, and the table does not need it

    write_page(logs, findings, cells_of(columns.values()), page)
    print(f"\n  page         {page}")
    for log in logs:
        print(f"\n{log.name}, {log.end}")
        for label, pattern in FILES.items():
            for path in sorted(log.folder.glob(pattern)):
                print(f"  {label:<13}{path}")
        print(f"  go on        {go_on(log)}")
    return 0


FILES = {
    "checkpoint": "checkpoints/last.ckpt",
    "log": "metrics.csv",
    "W&B offline": "wandb/offline-run-*",
    "loss curves": "loss_curves.png",
    "mixture": "mixture.png",
    "config": "config.yaml",
}


def titles(runs: Sequence[Path]) -> dict[Path, str]:
    """A name for each run: its folder's, or the whole path where two have the same."""
    names = [run.resolve().name for run in dict.fromkeys(runs)]
    return {run: n if names.count(n) == 1 else str(run) for run, n in zip(dict.fromkeys(runs), names, strict=True)}


def go_on(log: RunLog) -> str:
    """The command that trains the run to its end, or a finished one for as long again."""
    checkpoint, trainer = log.folder / "checkpoints" / "last.ckpt", log.config["trainer"]
    command = f"python -m research.cli fit --config {log.folder}/config.yaml"
    if checkpoint.is_file():
        command += f" --ckpt_path {checkpoint}"
    for length in ("max_steps", "max_epochs"):
        if log.end == "finished" and (trainer.get(length) or -1) > 0:
            command += f" --trainer.{length} {2 * trainer[length]}"
    return command
