"""``average CHECKPOINT... --output FILE``: one checkpoint from the weights of several, for test and predict."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.arguments import Parser
from research.errors import UserError

if TYPE_CHECKING:
    from research.averaging.soup import State

KEPT = ("epoch", "global_step", "pytorch-lightning_version", "hybrid")  # no optimiser: nothing trains on from a mean


def main(arguments: list[str]) -> int:
    """Average the checkpoints named on the command line, and say what became of them."""
    parser = Parser(prog="python -m research.cli average", description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="of runs of one model")
    parser.add_argument("--output", required=True, type=Path, help="such as runs/soup/checkpoints/last.ckpt")
    parser.add_argument("--greedy", metavar="METRIC", help="leave out what makes this worse: validation/ce/accuracy")
    parser.add_argument("--start", type=float, default=0.0, metavar="SHARE", help="of the first weights (WiSE-FT)")
    chosen = parser.parse_args(arguments)
    if not 0 <= chosen.start <= 1:
        raise UserError(f"--start is {chosen.start}; it must lie in [0, 1]")
    from research.averaging.first import first_weights
    from research.averaging.soup import average, greedy
    from research.checkpoints.reading import load_checkpoint
    from research.checkpoints.writing import write_checkpoint

    checkpoints = [load_checkpoint(path, key="CHECKPOINT") for path in chosen.checkpoints]
    states = [checkpoint["state_dict"] for checkpoint in checkpoints]
    taken = list(range(len(states)))
    if chosen.greedy:
        taken = greedy(states, lambda state: validated(checkpoints[0], state, chosen.greedy))
    result = average([states[i] for i in taken])
    if chosen.start:
        first = first_weights(checkpoints[0]["hybrid"]["config"])
        first = {f"student.model.{name}": tensor for name, tensor in first.items()}
        result = average([result, result | first], [1 - chosen.start, chosen.start])
    write_checkpoint(with_weights(checkpoints[0], result), chosen.output)
    for i, path in enumerate(chosen.checkpoints):
        print(f"  {'averaged' if i in taken else 'left out'}  {path}")
    print(f"  written to {chosen.output}")
    return 0


def with_weights(checkpoint: dict[str, Any], state: State) -> dict[str, Any]:
    """What test, predict and validate read of a checkpoint, with other weights."""
    return {name: checkpoint[name] for name in KEPT} | {"state_dict": dict(state)}


def validated(checkpoint: dict[str, Any], state: State, metric: str) -> float:
    """A figure of the validation splits of a checkpoint's run under other weights, losses negated.

    Raises:
        UserError: if it is not among the figures.
    """
    import yaml

    from research.checkpoints.writing import write_checkpoint
    from research.training_cli import TrainingCLI

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config, path = Path(folder) / "config.yaml", Path(folder) / "checkpoints" / "last.ckpt"
        run = {name: value for name, value in checkpoint["hybrid"]["config"].items() if name != "ckpt_path"}
        config.write_text(yaml.safe_dump(run))
        write_checkpoint(with_weights(checkpoint, state), path)
        figures = TrainingCLI(["validate", "--config", str(config), "--ckpt_path", str(path)]).trainer.callback_metrics
    if metric not in figures:
        known = ", ".join(name for name in figures if name.startswith("validation/"))
        raise UserError(f"--greedy {metric}: no such figure; there is {known}")
    value = float(figures[metric])
    return -value if metric.endswith(("/loss", "/perplexity")) else value
