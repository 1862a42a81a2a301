"""``checkpoint consolidate FOLDER --output FILE``: one checkpoint that every command reads, from a folder of shards."""

from pathlib import Path

from research.arguments import Parser
from research.errors import UserError


def main(arguments: list[str]) -> int:
    """Read the folder named on the command line, and write the file."""
    parser = Parser(prog="python -m research.cli checkpoint consolidate", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="such as runs/NAME/checkpoints/last.ckpt")
    parser.add_argument("--output", required=True, type=Path, help="such as runs/NAME/checkpoints/whole.ckpt")
    chosen = parser.parse_args(arguments)
    if chosen.output.exists():
        raise UserError(f"--output {chosen.output}: is there already")
    from research.checkpoints.shards import consolidated
    from research.checkpoints.writing import write_checkpoint

    write_checkpoint(consolidated(chosen.folder, "checkpoint consolidate"), chosen.output)
    print(f"  written to {chosen.output}")
    return 0
