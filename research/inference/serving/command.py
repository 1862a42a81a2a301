"""``serve --ckpt CHECKPOINT``: a trained student answers over HTTP.

Routes: POST /predict, /embed, /score, /explain and /v1/chat/completions (as OpenAI's), GET /tasks, /health and
/metrics, and a page at / to try it on. Where the environment variable HYBRID_TOKEN holds a token, all but the page and
/health ask for it.
"""

import argparse
from pathlib import Path

from research.arguments import Parser
from research.inference.serving.options import add_options, ready, workers


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    chosen = parsed(arguments)
    ready(chosen)
    from research.inference.serving.routes import ModelRoutes
    from research.inference.serving.server import serve
    from research.inference.serving.worker import Settings

    settings = Settings(
        chosen.ckpt, chosen.precision, chosen.compile, chosen.tokens, chosen.neighbours, chosen.text, chosen.label
    )
    serve(
        settings,
        ModelRoutes(chosen.timeout, workers(chosen), chosen.batch),
        Path(__file__).with_name("page.html"),
        chosen,
    )
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli serve", description=__doc__)
    parser.add_argument("--ckpt", required=True, metavar="CHECKPOINT", help="a checkpoint, or a run's folder")
    add_options(parser)
    parser.add_argument("--precision", choices=["32", "bf16", "int8"], default="32")
    parser.add_argument("--compile", action="store_true", help="by torch.compile; the first answers take a minute")
    parser.add_argument("--tokens", type=int, default=8192, help="of a batch; more need more memory")
    parser.add_argument("--neighbours", metavar="FILE", help="of known texts with labels: .csv, .tsv, .jsonl, .parquet")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="of that file")
    parser.add_argument("--label", default="label", metavar="COLUMN", help="of that file")
    return parser.parse_args(arguments)
