"""``init``: a config for your own data, from a look at it.

It finds text, label and problem, chooses student, objectives, batch, length and steps, writes them as commented YAML,
and says why.
"""

import argparse
import shlex
import tempfile
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from research.arguments import Parser
from research.errors import UserError, given_by
from research.files import write_whole

if TYPE_CHECKING:
    from research.init.choice import Choice
    from research.init.facts import Data

FIELDS = ("text", "text_pair", "label", "target")


def main(arguments: list[str]) -> int:
    """Write a config for the data named on the command line, and say what was chosen."""
    asked = parsed(arguments)
    output = Path(asked.output)
    if output.exists() and not asked.force:
        raise UserError(f"{output}: is there already; name another --output, or give --force to replace it")
    from research.init.choice import choice
    from research.init.document import document
    from research.init.facts import corpus_of, task_of

    named = {field: getattr(asked, field) for field in FIELDS}
    with given_by("--task"):
        task = None if asked.task is None else task_of(asked.task, named, asked.encoding)
    with given_by("--corpus"):
        corpus = None if asked.corpus is None else corpus_of(asked.corpus, asked.encoding)
    chosen = choice(task, corpus, asked.backbone)
    text = document(chosen, task, corpus, f"python -m research.cli init {shlex.join(arguments)}")
    plan = planned(text, asked.price)
    write_whole(output, text)
    print("\n".join(told(output, chosen, task, corpus, plan)))
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli init", description=__doc__)
    parser.add_argument("--task", metavar="FILE", help="labelled rows: .csv, .tsv, .jsonl or .parquet")
    parser.add_argument("--corpus", metavar="TEXTS", help="unlabelled text: a folder of .txt, a file or a glob")
    parser.add_argument("--output", default="exp.yaml", metavar="FILE", help="of the config (exp.yaml)")
    parser.add_argument("--force", action="store_true", help="replace an output that is there")
    parser.add_argument("--backbone", metavar="NAME", help="a hub name, a saved folder or package:NAME; the default is "
                        "a small published one for the language")  # fmt: skip
    for field, what in zip(FIELDS, ("text", "text that is read with it", "label", "text to write"), strict=True):
        parser.add_argument(f"--{field.replace('_', '-')}", metavar="COLUMN", help=f"which column is the {what}")
    parser.add_argument("--encoding", default="utf-8", help="of the files")
    parser.add_argument("--price", type=float, help="of an hour of this machine, to estimate the cost")
    asked = parser.parse_args(arguments)
    if asked.task is None and asked.corpus is None:
        raise UserError("--task: name a file of labelled rows, or unlabelled texts by --corpus, or both")
    return asked


def planned(text: str, price: float | None) -> dict[str, Any]:
    """What ``plan`` says of a config on this machine."""
    from research.planning.command import Planning

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "exp.yaml"
        config.write_text(text, encoding="utf-8")
        cost = [] if price is None else ["--price", str(price)]
        return Planning(["--config", str(config), *cost]).plan


def told(output: Path, chosen: "Choice", task: "Data | None", corpus: "Data | None", plan: dict[str, Any]) -> list[str]:
    """What was seen, chosen and is expected, a line each, and the commands that follow."""
    from research.init.choice import BATCH
    from research.planning.quantity import duration, shown

    lines = []
    if task is not None:
        columns = ", ".join(f"{field} '{task.settings[field]}'" for field in FIELDS if field in task.settings)
        kinds = f", {len(task.labels)} labels" if task.labels and task.problem != "regress" else ""
        splits = ", ".join(f"{split} {part}" for split, part in task.splits.items())
        lines.append(f"task        {task.problem}: {len(task.records):,} rows{kinds}; {columns}; {splits}")
    if corpus is not None:
        lines.append(f"texts       {len(corpus.records):,} in {corpus.settings['paths']}")
    lines.append(f"student     {chosen.backbone}, {chosen.family}: {chosen.why['student']}")
    lines += [f"objective   {one.name} {one.kind}, weight {one.weight}: {one.why}" for one in chosen.objectives]
    if len(chosen.objectives) == 1 and task is not None:
        lines.append("            alone: no experiment here has found what gains beside it with so many labels")
    one, run = plan["strategies"]["one"], plan["run"]
    cost = "" if run["cost"] is None else f", cost {run['cost']:.2f}"
    fits = "fits" if one["fits"] else "DOES NOT FIT: lower batch_size or max_length"
    stem = output.stem
    lines += [
        f"length      {chosen.why['length']}",
        f"steps       {chosen.steps:,} of batches of {BATCH}: {chosen.why['steps']}",
        f"rate        {chosen.lr:g}, up for a tenth of the steps and then linearly down",
        f"here        at most {duration(run['seconds'])} if all rows are full{cost}; {shown(one['total'], 'B')}"
        f" of tensors beside the program itself, of {shown(plan['device']['memory'], 'B')}: {fits}",
    ]
    return [
        *(fill(line, 80, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False) for line in lines),
        "",
        f"written to {output}. Next:",
        f"  python -m research.cli fit --config {output}",
        f"  python -m research.cli test --config {output} --ckpt_path last",
        f"  python -m research.cli predict --ckpt runs/{stem} --input texts.txt{'' if task else ' --embed'}",
    ]
