"""Sentences from facts, by a student that was trained for it.

python -m research.applications.writing.write --ckpt runs/writer facts.txt

A line of the file, or of standard input where it is -, is a place: name[The Mill], eatType[pub], near[Café Rouge]
"""

import argparse
import sys
from collections.abc import Iterable, Iterator

from research.arguments import Parser
from research.errors import UserError


def main(arguments: list[str]) -> int:
    """Print a sentence a place.

    Raises:
        UserError: for a checkpoint that cannot write, or a line that is no facts; then nothing is printed.
    """
    from research.applications.writing.decoding import DECODINGS, written
    from research.applications.writing.facts import named
    from research.inference import load

    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts", nargs="?", default="-", help="a file with a place a line (default: standard input)")
    parser.add_argument("--ckpt", required=True, help="a checkpoint, or a run's folder")
    parser.add_argument("--decoding", choices=DECODINGS, default="required", help="how to write (default: required)")
    chosen = parser.parse_args(arguments)
    places = list(read(chosen.facts))
    model = load(chosen.ckpt)
    task = model.task(None, "generate")
    texts = written(model.student, places, model.tasks[task].max_target_length, DECODINGS[chosen.decoding])
    for text, facts in zip(texts, places, strict=True):
        print(named(text, facts))
    return 0


def read(path: str) -> Iterator[dict[str, str]]:
    """The facts of each line that is not blank."""
    from research.applications.writing.facts import parsed

    for number, line in enumerate(lines(path), 1):
        if line.strip():
            yield parsed(line.strip(), f"{path}:{number}")


def lines(path: str) -> Iterable[str]:
    """The lines of a file, or of standard input for ``-``."""
    if path == "-":
        return sys.stdin
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not utf-8; write the file in utf-8") from None


if __name__ == "__main__":
    from research.terminal import explained

    sys.exit(explained(main, sys.argv[1:]))
