"""``calibrate --ckpt CHECKPOINT``: probabilities that come true, thresholds, abstaining and a scope for a classifier.

All is fitted to the validation split of the checkpoint's own run, and written as decisions.json beside the checkpoint,
by which predict and research.inference.load answer from then on. decisions.md and decisions.png show what it is worth
on examples that it was not fitted to (5-fold), with the risk of answers by their coverage.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from research.arguments import Parser
from research.errors import UserError

LEAST = 10  # validation examples
SURE = 0.05  # the risk whose coverage is shown where none is asked for


def main(arguments: list[str]) -> int:
    """Calibrate the task named on the command line, and say what it is worth."""
    chosen = parsed(arguments)
    from research.ablation.results import commit
    from research.inference.decisions.file import write
    from research.inference.decisions.fitting import fit
    from research.inference.decisions.report import measured, report
    from research.inference.decisions.scored import data_of, scored
    from research.inference.loading import checkpoint_of, load

    checkpoint = checkpoint_of(chosen.ckpt)
    model = load(checkpoint, chosen.device, decisions=False)
    task = model.task(chosen.task, "classify")
    labels = model.streams[task].labels
    wanted, names = asked(chosen, labels)
    data = data_of(checkpoint, model, task)
    validation = scored(model, data, "validation")
    if len(validation.labels) < LEAST:
        raise UserError(f"--ckpt {chosen.ckpt}: {len(validation.labels)} validation texts; {LEAST} are the least")
    train = scored(model, data, "train") if "mahalanobis" in wanted.detectors else validation
    outside = None
    if chosen.outside:
        from research.inference.reading import records

        outside = model.scores(records([chosen.outside], chosen.text, None, option="--outside"), task)
        if not len(outside[0]):
            raise UserError(f"--outside {chosen.outside}: has no texts")
    decisions = fit(wanted, labels, train, validation, outside, names)
    told = {"command": shlex.join(["python", "-m", "research.cli", "calibrate", *arguments]), "commit": commit()}
    found = measured(wanted, decisions, train, validation, outside, SURE if chosen.risk is None else chosen.risk)
    path = write(checkpoint, {task: decisions}, {**told, "figures": found.figures})
    print(report(found, path, task, told))
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli calibrate", description=__doc__)
    parser.add_argument("--ckpt", required=True, metavar="CHECKPOINT", help="a checkpoint, or a run's folder")
    parser.add_argument("--task", metavar="STREAM", help="which, where the run had several")
    parser.add_argument("--method", choices=["temperature", "isotonic", "none"], default="temperature")
    deciding = parser.add_mutually_exclusive_group()
    deciding.add_argument("--cost", metavar="FILE",
                          help='JSON: {"wrong": 1, "abstain": 0.3, "of": {RIGHT: {SAID: 5}}}')  # fmt: skip
    deciding.add_argument("--threshold", choices=["f1"], help="a threshold a label, for the largest macro F1")
    deciding.add_argument("--risk", type=float, metavar="SHARE", help="abstain so that no more answers are wrong")
    parser.add_argument("--out-of-scope", nargs="+", default=[], metavar="DETECTOR",
                        choices=["max_probability", "energy", "mahalanobis"],
                        help="max_probability, energy or mahalanobis; of several the best by --outside")  # fmt: skip
    parser.add_argument("--outside", metavar="FILE", help="texts out of scope to choose by, none to be tested later")
    parser.add_argument("--keep", type=float, metavar="SHARE",
                        help="of the texts in scope, where there is no --outside (default: 0.95)")  # fmt: skip
    parser.add_argument("--text", default="text", metavar="COLUMN", help="where a record of --outside has its text")
    parser.add_argument("--names", metavar="FILE", help="JSON: what each label is called to people")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    return parser.parse_args(arguments)


def asked(chosen: argparse.Namespace, labels: tuple[str, ...]) -> tuple[Any, dict[str, str] | None]:
    """What the command line asks for, and the names of the labels.

    Raises:
        UserError: naming the option that does not fit the others, or the labels.
    """
    from research.inference.decisions.decisions import named
    from research.inference.decisions.fitting import Wanted
    from research.inference.decisions.rules import Costs

    for option in ("risk", "keep"):
        value = getattr(chosen, option)
        if value is not None and not 0 < value < 1:
            raise UserError(f"--{option} is {value}; it must lie in (0, 1)")
    if len(chosen.out_of_scope) > 1 and not chosen.outside:
        raise UserError("--out-of-scope: several detectors need --outside, texts to choose by")
    if (chosen.outside or chosen.keep) and not chosen.out_of_scope:
        raise UserError("--outside and --keep are for --out-of-scope; name a detector")
    if chosen.outside and chosen.keep:
        raise UserError("--keep: --outside draws the line; give one of them")
    costs, names = None, None
    if chosen.cost:
        costs = checked("--cost", chosen.cost, lambda given: Costs.described(given, labels))
    if chosen.names:
        names = checked("--names", chosen.names, lambda given: named(given, labels))
    method = None if chosen.method == "none" else chosen.method
    wanted = Wanted(method, chosen.out_of_scope, chosen.keep or 0.95, chosen.threshold == "f1", chosen.risk, costs)
    return wanted, names


def checked(option: str, path: str, read: Any) -> Any:
    """What ``read`` makes of the JSON of a file.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    try:
        return read(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{option} {path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{option} {path}: {error}") from None
