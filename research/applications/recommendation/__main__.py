"""``python -m research.applications.recommendation``: all recommenders on the same split, to results.json and .md."""

import sys
from pathlib import Path

from research.arguments import Parser

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison, and give the exit status."""
    from research.terminal import explained

    return explained(run, sys.argv[1:] if arguments is None else arguments)


def run(arguments: list[str]) -> int:
    """Run the comparison; what the parser does not know is given to each fit."""
    parser = Parser(
        prog="python -m research.applications.recommendation",
        description="Compare recommenders of films on MovieLens: settings are chosen on each user's last film but one, "
        "figures are of the last. Finished fits are not repeated. Further options are given to each fit, such as "
        "--trainer.max_steps 100.",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data/movielens"), help="folder of the CSV files (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of what is trained (1 2 3)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/recommendation"), help="folder of the fits (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder of results.json and results.md")
    options, settings = parser.parse_known_args(arguments)

    from research.applications.recommendation.compare import compare
    from research.applications.recommendation.table import write

    write(compare(options.data, options.seeds, options.runs, settings), options.output, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
