"""What any server of ours is told, and what must hold before it starts."""

import argparse
import os
import socket

from research.errors import UserError

LOCAL = "127.0.0.1"
BOUNDS = {
    "port": (1024, 65535),
    "workers": (1, 256),
    "batch": (1, 4096),
    "timeout": (0.01, 3600),
    "max_bytes": (1, 2**30),
    "max_waiting": (1, 2**16),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of any server."""
    parser.add_argument("--host", default=LOCAL, choices=[LOCAL, "0.0.0.0", "::"], help="others than it need a token")
    parser.add_argument("--port", type=int, default=8000, help="1024 to 65535")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: a worker a GPU that is visible")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes a device, each with the model, that share the cores"
    )
    parser.add_argument("--batch", type=int, default=64, help="questions answered together at most")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="of a question")
    parser.add_argument("--max-bytes", type=int, default=1_000_000, help="of a request's body")
    parser.add_argument("--max-waiting", type=int, default=1000, help="connections; others are sent away with 503")


def ready(chosen: argparse.Namespace) -> None:
    """Raises:
    UserError: where what a server needs is not there, its options are out of their bounds, or it may not listen.
    """
    try:
        import litserve  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError:
        raise UserError("serve needs the extra: pip install 'hybrid-fine-tuning[serve]'") from None
    from research.inference.serving.worker import TOKEN

    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(chosen, name) <= most:
            option = name.replace("_", "-")
            raise UserError(f"--{option} is {getattr(chosen, name)}; it must lie from {least} to {most}")
    if chosen.host != LOCAL and not os.environ.get(TOKEN):
        raise UserError(f"--host {chosen.host} is seen by others: set the environment variable {TOKEN} first")
    free(chosen.host, chosen.port)


def workers(chosen: argparse.Namespace) -> int:
    """Processes on all devices."""
    import torch

    return int(chosen.workers * (torch.cuda.device_count() if chosen.device == "cuda" else 1))


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
