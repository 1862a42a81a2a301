"""``explain --ckpt CHECKPOINT``: answers with their reasons, as JSON lines and as a page of coloured words.

Weights are in nats of the answered label's log-probability (where a text may bear several, its logit; of a value, its
unit). They say what the student goes by, which need not be what is true of the text.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.arguments import Parser
from research.errors import UserError, given_by
from research.inference.explanation import METHODS

if TYPE_CHECKING:
    from research.inference.explanation.explain import Explainer

WINDOW = 64  # answers between two moments from which a stopped command goes on


def main(arguments: list[str]) -> int:
    """Explain the answers to the texts named on the command line."""
    chosen = parsed(arguments)
    from itertools import islice

    from tqdm import tqdm  # type: ignore[import-untyped]

    from research.inference.command import printed
    from research.inference.reading import records
    from research.inference.results import Results, fingerprint

    output = None if chosen.output == "-" else Results(Path(chosen.output), fingerprint(chosen), WINDOW)
    given = [{"text": text, "where": f"--text {i}"} for i, text in enumerate(chosen.said, 1)]
    read = given + list(records(chosen.input, chosen.text, chosen.text_pair, chosen.encoding))
    if not read:
        raise UserError("explain: give texts by --text, or files by --input")
    explain = explainer(chosen)
    left = tqdm(islice(read, output.done if output else 0, None), unit=" texts", initial=output.done if output else 0,
                total=len(read), disable=not sys.stderr.isatty())  # fmt: skip
    answers: Iterator[dict[str, Any]] = ({"where": record["where"], **explain(record)} for record in left)
    if output is None:
        kept = list(answers) if chosen.page else []
        printed(iter(kept) if chosen.page else answers)
    else:
        total = output.write(answers)
        print(f"{total} answers in {output.path}", file=sys.stderr)
        kept = [json.loads(line) for line in output.path.read_text(encoding="utf-8").splitlines()]
    if chosen.page:
        from research.inference.explanation.page import write_page

        title = shlex.join(["python -m research.cli explain", "--ckpt", chosen.ckpt, "--method", chosen.method])
        write_page(Path(chosen.page), title, read, kept)
        print(f"their page is {chosen.page}", file=sys.stderr)
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli explain", description=__doc__)
    parser.add_argument("--ckpt", required=True, metavar="CHECKPOINT", help="a checkpoint, or a run's folder")
    parser.add_argument("--task", metavar="STREAM", help="which, where the run had several")
    parser.add_argument("--text", nargs="+", default=[], dest="said", help="texts to explain")
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE",
                        help=".txt (a text a line), .jsonl, .csv, .tsv or .parquet, also compressed, far or as a glob; "
                        "- is standard input")  # fmt: skip
    parser.add_argument("--column", dest="text", default="text", help="where a record of a file has its text")
    parser.add_argument("--text-pair", metavar="COLUMN", help="and the text that it is read together with")
    parser.add_argument("--encoding", default="utf-8", help="of files of text")
    parser.add_argument("--output", default="-", metavar="FILE", help=".jsonl; - is standard output")
    parser.add_argument("--page", metavar="FILE", help=".html, with the words in colour, and the maps")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument(
        "--steps", type=int, default=64, help="of integrated gradients; more come nearer to the integral"
    )
    parser.add_argument("--layers", action="store_true", help="also the weights of the tokens' states in each layer")
    parser.add_argument("--maps", action="store_true", help="also each layer's attention")
    parser.add_argument(
        "--train", metavar="FILE", help="training examples, of which those that speak for and against are named"
    )
    parser.add_argument("--label", default="label", metavar="COLUMN", help="where they have their label")
    parser.add_argument("--examples", type=int, default=3, help="how many of them on each side")
    parser.add_argument("--further-ckpt", nargs="+", default=[], metavar="CHECKPOINT",
                        help="of the same run, over which the influence of examples is added up")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    chosen = parser.parse_args(arguments)
    for name in ("steps", "examples"):
        if getattr(chosen, name) < 1:
            raise UserError(f"--{name} is {getattr(chosen, name)}; it must be at least 1")
    if chosen.further_ckpt and chosen.train is None:
        raise UserError("--further-ckpt: is for the influence of examples; name them by --train")
    if chosen.method == "occlusion" and chosen.text_pair:
        raise UserError("--method occlusion: it leaves out words of one text; take another method for pairs")
    if chosen.output != "-" and not chosen.output.endswith(".jsonl"):
        raise UserError(f"--output {chosen.output}: its ending is not .jsonl")
    return chosen


def explainer(chosen: argparse.Namespace) -> "Explainer":
    """What explains a text, with its training examples if any are asked for."""
    from research.inference import load
    from research.inference.explanation.explain import Explainer
    from research.inference.explanation.influence import Influence
    from research.inference.reading import source_of

    models = [load(path, chosen.device, decisions=False) for path in (chosen.ckpt, *chosen.further_ckpt)]
    influence = None
    if chosen.train:
        with given_by("--train"):
            examples = list(source_of(chosen.train, chosen.text, None, chosen.encoding, chosen.label))
        texts, labels = [e["text"] for e in examples], [str(e["label"]) for e in examples]
        influence = Influence(models, texts, labels, chosen.task)
    given = chosen.task, chosen.method, chosen.steps, chosen.layers, chosen.maps
    return Explainer(models[0], *given, influence, chosen.examples)
