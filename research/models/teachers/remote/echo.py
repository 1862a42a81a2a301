"""What a server says of a text: the likeliest tokens at each place, of a given text or of one that it wrote."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from research.errors import UserError
from research.models.teachers.remote.question import text_of
from research.models.teachers.remote.server import Request


class Echo(NamedTuple):
    """The tokens of a text as the server cuts it.

    ``ends`` (n,) int64 says where each ends in the text, -1 where that is within a character or not known; ``tops``
    holds for each the log-probabilities of the likeliest tokens in its place, by their text, or none.
    """

    ends: np.ndarray
    tops: list[dict[str, float]]


def echo_request(text: str, top: int) -> Request:
    """One token more than the text is asked for, since not every server takes none."""
    return {"prompt": text, "max_tokens": 1, "echo": True, "logprobs": top, "temperature": 0.0}


def read_echo(answer: Mapping[str, Any], text: str) -> Echo:
    """
    Raises:
        UserError: if the answer has no log-probabilities of the text.
    """
    logprobs = answer["choices"][0].get("logprobs") or {}
    tokens, tops = logprobs.get("tokens") or [], logprobs.get("top_logprobs") or []
    if len(tokens) < 2 or len(tops) != len(tokens) or not any(tops):
        raise UserError(
            "model.teacher: the server gives no log-probabilities of a given text (completions with echo), as vLLM "
            "does; teacher label and teacher generate do without them"
        )
    return Echo(places(tokens, text), [finite(top) for top in tops])


def read_written(answer: Mapping[str, Any], text: str) -> Echo:
    """Of an answer that is this text, or goes on behind it; of another one nothing.

    Raises:
        UserError: if the answer has no log-probabilities.
    """
    logprobs = answer["choices"][0].get("logprobs") or {}
    if content := logprobs.get("content"):
        tokens = [token["token"] for token in content]
        tops = [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in content]
    else:
        tokens, tops = logprobs.get("tokens") or [], logprobs.get("top_logprobs") or []
    if len(tops) != len(tokens) or not any(tops):
        raise UserError("model.teacher: the server gives no log-probabilities of what it writes, or writing.top is 0")
    if not text_of(answer).startswith(text):
        return Echo(np.zeros(0, np.int64), [])
    return Echo(places(tokens, text), [finite(top) for top in tops])


def finite(top: Mapping[str, float | None] | None) -> dict[str, float]:
    """The log-probabilities that are numbers, by token."""
    return {token: value for token, value in (top or {}).items() if value is not None and math.isfinite(value)}


def places(tokens: Sequence[str], text: str) -> np.ndarray:
    """Where each token ends in the text.

    Special tokens and bytes of broken characters, which stand for no text of their own, are passed over; what follows
    them is found again within as many characters as they can stand for.
    """
    ends, at, lost = np.full(len(tokens), -1, np.int64), 0, 0
    for i, token in enumerate(tokens):
        found = text.find(token, at, at + lost + len(token)) if token else -1
        if found < 0:
            lost += 1
            continue
        at, lost = found + len(token), 0
        ends[i] = at
    return ends
