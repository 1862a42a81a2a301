"""``predict --ckpt CHECKPOINT``: what a trained student answers to texts of files or of standard input.

Answers are JSON lines, each with the place of its text (where) and then, by the task, its label and probabilities,
labels, value, or the text that is written; --embed gives an embedding, and --score the similarity of two texts. A
command that was stopped goes on where it was when it is given again.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice, tee
from pathlib import Path
from typing import Any

from research.arguments import Parser
from research.errors import UserError

OF_A_CONFIG = "With --config in place of --ckpt it answers the test splits of a run: see test --help."


def main(arguments: list[str]) -> int:
    """Answer the texts named on the command line."""
    chosen = parsed(arguments)
    from tqdm import tqdm  # type: ignore[import-untyped]

    from research.allocation import keep_freed_memory
    from research.inference.reading import records
    from research.inference.results import Results, fingerprint

    keep_freed_memory()
    settings = json_object(chosen.generate)
    output = None if chosen.output == "-" else Results(Path(chosen.output), fingerprint(chosen))
    done = output.done if output else 0
    read = islice(records(chosen.input, chosen.text, chosen.text_pair, chosen.encoding), done, None)
    with tqdm(unit=" texts", initial=done, disable=not sys.stderr.isatty()) as bar:
        answers = counted(answered(chosen, settings, read), bar)
        if output is None:
            return printed(answers)
        total = output.write(answers)
    print(f"{total} answers in {output.path}", file=sys.stderr)
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli predict", description=__doc__, epilog=OF_A_CONFIG)
    parser.add_argument("--ckpt", required=True, metavar="CHECKPOINT", help="a checkpoint, or a run's folder")
    parser.add_argument("--task", metavar="STREAM", help="which, where the run had several")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--embed", action="store_true", help="give embeddings")
    what.add_argument("--score", action="store_true", help="give the similarity of text and text pair")
    parser.add_argument("--input", nargs="+", default=["-"], metavar="FILE",
                        help=".txt (a text a line), .jsonl, .csv, .tsv or .parquet, also compressed, far or as a glob; "
                        "- is standard input, a text or JSON object a line (the default)")  # fmt: skip
    parser.add_argument("--output", default="-", metavar="FILE", help=".jsonl or .parquet; - is standard output")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="where a record has its text")
    parser.add_argument("--text-pair", metavar="COLUMN", help="and the text that it is read together with")
    parser.add_argument("--encoding", default="utf-8", help="of files of text")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    parser.add_argument("--precision", choices=["32", "bf16", "int8"], default="32")
    parser.add_argument("--compile", action="store_true", help="by torch.compile; pays for many texts")
    parser.add_argument("--tokens", type=int, default=8192, help="of a batch; more need more memory")
    parser.add_argument("--no-decisions", dest="decisions", action="store_false",
                        help="pass over what calibrate has left beside the checkpoint")  # fmt: skip
    parser.add_argument("--exit-below", type=float, metavar="NATS", help="entropy at which a lower layer may answer")
    parser.add_argument("--generate", default="{}", metavar="JSON", help="""such as '{"num_beams": 4}'""")
    return parser.parse_args(arguments)


def answered(chosen: argparse.Namespace, settings: dict[str, Any], read: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """An answer a record, each with its place."""
    from research.inference import load

    model = load(chosen.ckpt, chosen.device, chosen.precision, chosen.compile, chosen.tokens,
                 chosen.decisions, chosen.exit_below, reordered=True)  # fmt: skip
    places, asked = tee(read)
    answers: Iterator[dict[str, Any]]
    if chosen.embed:
        answers = ({"embedding": row.tolist()} for row in model.embeddings(asked))
    elif chosen.score:
        answers = ({"score": score} for score in model.score(asked))
    else:
        answers = model.predict(asked, chosen.task, **settings)
    return ({"where": record["where"], **answer} for record, answer in zip(places, answers, strict=True))


def counted(answers: Iterator[dict[str, Any]], bar: Any) -> Iterator[dict[str, Any]]:
    """The same answers; the bar moves as each is taken."""
    for answer in answers:
        yield answer
        bar.update()


def printed(answers: Iterator[dict[str, Any]]) -> int:
    """A line each; who reads them may stop before the end."""
    try:
        for answer in answers:
            print(json.dumps(answer, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would try again
    return 0


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--generate {text}: not JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise UserError(f"--generate {text}: a JSON object is expected")
    return value
