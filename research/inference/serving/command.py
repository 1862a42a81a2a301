"""``serve --ckpt CHECKPOINT``: a trained student answers over HTTP.

Routes: POST /predict, /embed, /score, /explain and /v1/chat/completions (as OpenAI's), GET /tasks, /health and
/metrics, and a page at / to try it on. Where the environment variable HYBRID_TOKEN holds a token, all but the page and
/health ask for it.
"""

import argparse
import os
import socket

from research.errors import UserError

LOCAL = "127.0.0.1"
BOUNDS = {
    "port": (1024, 65535),
    "workers": (1, 256),
    "batch": (1, 4096),
    "wait": (0, 1000),
    "timeout": (0.01, 3600),
    "max_bytes": (1, 2**30),
    "max_waiting": (1, 2**16),
}


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    chosen = parsed(arguments)
    try:
        import litserve  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError:
        raise UserError("serve needs the extra: pip install 'hybrid-fine-tuning[serve]'") from None
    from research.inference.serving.server import serve
    from research.inference.serving.worker import TOKEN, Settings

    if chosen.host != LOCAL and not os.environ.get(TOKEN):
        raise UserError(f"--host {chosen.host} is seen by others: set the environment variable {TOKEN} first")
    free(chosen.host, chosen.port)
    settings = Settings(
        chosen.ckpt, chosen.precision, chosen.compile, chosen.tokens, chosen.neighbours, chosen.text, chosen.label
    )
    settings.load("cpu")  # what is wrong with it is said here, in one line
    serve(settings, chosen)
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m research.cli serve", description=__doc__, allow_abbrev=False)
    parser.add_argument("--ckpt", required=True, metavar="CHECKPOINT", help="a checkpoint, or a run's folder")
    parser.add_argument("--host", default=LOCAL, choices=[LOCAL, "0.0.0.0", "::"], help="others than it need a token")
    parser.add_argument("--port", type=int, default=8000, help="1024 to 65535")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: a worker a GPU that is visible")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes a device, each with the model, that share the cores"
    )
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--compile", action="store_true", help="by torch.compile; the first answers take a minute")
    parser.add_argument("--tokens", type=int, default=8192, help="of a batch; more need more memory")
    parser.add_argument("--batch", type=int, default=64, help="questions answered together at most")
    parser.add_argument("--wait", type=float, default=2.0, metavar="MS", help="milliseconds for a batch to fill")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="of a question")
    parser.add_argument("--max-bytes", type=int, default=1_000_000, help="of a request's body")
    parser.add_argument("--max-waiting", type=int, default=1000, help="connections; others are sent away with 503")
    parser.add_argument("--neighbours", metavar="FILE", help="of known texts with labels: .csv, .tsv, .jsonl, .parquet")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="of that file")
    parser.add_argument("--label", default="label", metavar="COLUMN", help="of that file")
    chosen = parser.parse_args(arguments)
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(chosen, name) <= most:
            option = name.replace("_", "-")
            raise UserError(f"--{option} is {getattr(chosen, name)}; it must lie from {least} to {most}")
    return chosen


def free(host: str, port: int) -> None:
    """Raises:
    UserError: if another program listens there.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            raise UserError(f"--port {port}: cannot listen on {host}:{port} ({error.strerror}); name another") from None
