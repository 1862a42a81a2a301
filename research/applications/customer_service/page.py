"""The dialogue on a page, by the server that serves any checkpoint."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research.applications.customer_service.desk import Desk, desk
from research.inference.serving.options import workers
from research.inference.serving.questions import Question, Words
from research.inference.serving.routes import Routes
from research.inference.serving.server import serve


class Reply(Question):
    """What the desk replies to a message."""

    path = "/reply"
    task: None = None
    message: Words


@dataclass(frozen=True)
class Settings:
    """The desk of a seed, as a worker's process loads it."""

    seed: int

    def load(self, device: str) -> Callable[[Sequence[Any]], list[Any]]:
        return Replies(desk(self.seed, device))


@dataclass(frozen=True)
class Replies:
    """A desk that answers questions."""

    desk: Desk

    def __call__(self, questions: Sequence[Reply]) -> list[dict[str, Any]]:
        return self.desk.replies([question.message for question in questions])


def show(seed: int, chosen: argparse.Namespace) -> int:
    """Serve the desk of a seed until Ctrl-C or SIGTERM.

    Raises:
        UserError: if it has not been trained.
    """
    settings = Settings(seed)
    settings.load("cpu")  # what is wrong with it is said here, in one line
    serve(
        settings,
        Routes([Reply], chosen.timeout, workers(chosen), chosen.batch),
        Path(__file__).with_name("page.html"),
        chosen,
    )
    return 0
