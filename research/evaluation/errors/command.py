"""``errors RUN...``: where runs err, and where two of them differ, from their predictions and training dynamics."""

from pathlib import Path

from research.arguments import Parser
from research.errors import UserError


def main(arguments: list[str]) -> int:
    """Print what there is to say of the runs named on the command line, and write it as a page."""
    parser = Parser(prog="python -m research.cli errors", description=__doc__)
    told = "folder of a run with predictions.jsonl, as predict leaves it; further ones are compared with the first"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=told)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: errors.html in the first RUN)")
    parser.add_argument("--examples", type=int, default=20, metavar="N", help="examples of a list on the page (20)")
    chosen = parser.parse_args(arguments)
    if chosen.examples < 1:
        raise UserError(f"--examples is {chosen.examples}; it must be at least 1")
    from research.data.inspect.layout import width, wrap
    from research.evaluation.errors.chapters import chapters
    from research.evaluation.errors.page import write_page
    from research.evaluation.errors.predictions import read_answers
    from research.evaluation.errors.sections import as_text

    runs = {run: read_answers(run) for run in chosen.runs}
    out = chosen.out or chosen.runs[0] / "errors.html"
    report = chapters(runs, chosen.examples)
    for chapter, sections in report.items():
        heading = wrap(chapter, 0, 4)
        print("\n".join([*heading, "#" * max(map(width, heading)), "", as_text(sections)]))
    write_page(f"Errors of {', '.join(run.name for run in chosen.runs)}", report, out)
    print(f"written to {out}")
    return 0
