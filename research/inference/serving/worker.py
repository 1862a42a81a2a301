"""The process that holds the model, as LitServe runs it, one a device."""

import os
import secrets
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import litserve
import torch
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from research.allocation import keep_freed_memory
from research.inference.loading import load
from research.inference.neighbours import Neighbours
from research.inference.serving.answering import Asked

TOKEN = "HYBRID_TOKEN"  # the variable of the environment that holds it: a command line is there for all to read


class Loads(Protocol):
    """Settings that a worker's process is sent, to load from them what answers."""

    def load(self, device: str) -> Callable[[Sequence[Any]], list[Any]]:
        """What gives an answer, or a :class:`Refusal`, to each of several questions."""
        ...


@dataclass(frozen=True)
class Settings:
    """A model, and known texts."""

    ckpt: str
    precision: Any = "32"
    compile: bool = False
    tokens: int = 8192
    neighbours: str | None = None
    text: str = "text"
    label: str = "label"

    def load(self, device: str) -> Asked:
        """Raises:
        UserError: for a checkpoint or neighbours that cannot be read.
        """
        model = load(self.ckpt, device, self.precision, self.compile, self.tokens, reordered=True)
        model.take_markup_as_text()
        near = self.neighbours and Neighbours(model, self.ckpt, self.neighbours, self.text, self.label)
        return Asked(model, near or None)


class Worker(litserve.LitAPI):
    """Answers batches of questions; the class also says who may ask.

    Args:
        settings: what to load.
        share: how many such processes share the cores.
        given: as LitServe takes it.
    """

    def __init__(self, settings: Loads, share: int = 1, **given: Any) -> None:
        super().__init__(**given)
        self.settings, self.share = settings, share

    def setup(self, device: str) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
        torch.set_num_threads(max(torch.get_num_threads() // self.share, 1))
        keep_freed_memory()
        self.asked = self.settings.load(device)

    def decode_request(self, request: Any, **_: Any) -> Any:
        return request

    def predict(self, x: Sequence[Any], **_: Any) -> list[Any]:
        return self.asked(x)

    def encode_response(self, output: Any, **_: Any) -> Any:
        return output

    @staticmethod
    def authorize(given: HTTPAuthorizationCredentials | None = Depends(HTTPBearer(auto_error=False))) -> None:  # noqa: B008
        """Raises:
        HTTPException: 401, unless the right token is given or none is wanted.
        """
        wanted = os.environ.get(TOKEN, "")
        if wanted and not (given and secrets.compare_digest(given.credentials.encode(), wanted.encode())):
            reason = "a token is needed: send the header Authorization: Bearer TOKEN"
            raise HTTPException(401, reason, {"WWW-Authenticate": "Bearer"})
