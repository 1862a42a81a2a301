"""What requests cost: counted before they are sent, and from what the server says that it used."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from research.errors import UserError

BYTES = 3  # of a token, where no tokenizer says better: fewer than in English, as many as in a Chinese character
MESSAGE = 8  # tokens that a chat template puts around a message, about
MILLION = 1_000_000


@dataclass
class Prices:
    """What a million tokens cost, in any currency.

    Args:
        prompt: tokens that are read, at least 0.
        completion: tokens that are written, at least 0.
    """

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"server.prices.{name} is {getattr(self, name)}; it must be at least 0")


@dataclass
class Tokens:
    """Tokens read and written."""

    prompt: int
    completion: int

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def cost(self, prices: Prices | None) -> float:
        """0 where there are no prices, as for a server of one's own."""
        return 0.0 if prices is None else (self.prompt * prices.prompt + self.completion * prices.completion) / MILLION


class Counter:
    """Counts the tokens of requests before they are sent; at most so many come back.

    Args:
        tokenizer: the hub name, folder or ``package:NAME`` of the model's, or none: then a token has three bytes.
    """

    def __init__(self, tokenizer: str | None) -> None:
        self.tokenizer = tokenizer

    @cached_property
    def _length(self) -> Callable[[str], int]:
        if self.tokenizer is None:
            return lambda text: -(-len(text.encode()) // BYTES)
        from research.models.backbone import load_tokenizer

        backend = load_tokenizer(self.tokenizer, None).backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return lambda text: len(backend.encode(text).ids)

    def __call__(self, request: Mapping[str, Any]) -> Tokens:
        texts = [message["content"] for message in request.get("messages", ())] or [request["prompt"]]
        framing = MESSAGE * len(request.get("messages", ()))
        return Tokens(framing + sum(map(self._length, texts)), request["max_tokens"] * request.get("n", 1))

    def sum(self, requests: Iterable[Mapping[str, Any]]) -> Tokens:
        counts = [self(request) for request in requests]
        return Tokens(sum(count.prompt for count in counts), sum(count.completion for count in counts))


@dataclass
class Estimate:
    """What requests take at most, those that are answered already left out."""

    requests: int
    new: int
    most: Tokens

    def add(self, requests: int, new: int, most: Tokens) -> None:
        self.requests, self.new = self.requests + requests, self.new + new
        self.most = Tokens(self.most.prompt + most.prompt, self.most.completion + most.completion)

    def told(self, prices: Prices | None, limit: float | None) -> str:
        """In words, with the cost where there are prices."""
        cost = f", at most {self.most.cost(prices):.4g} in all" if prices else ""
        if limit is not None and self.most.cost(prices) > limit:
            cost += f", of which server.limit allows {limit:g}"
        return (
            f"{self.requests:,} requests, {self.requests - self.new:,} of them answered on disk; the others read about "
            f"{self.most.prompt:,} tokens and write at most {self.most.completion:,}{cost}"
        )


class Purse:
    """Lets no request go that might pass the limit, those under way counted at their most.

    Args:
        limit: what a run may spend, above 0, or none.
        prices: needed by a limit.
    """

    def __init__(self, limit: float | None, prices: Prices | None) -> None:
        if limit is not None and (prices is None or limit <= 0):
            raise UserError(f"server.limit is {limit}; it must be above 0, and needs server.prices")
        self.limit, self.prices = limit, prices
        self.spent = self.reserved = 0.0
        self.answers = 0

    def reserve(self, most: Tokens) -> None:
        """
        Raises:
            UserError: if the request might pass the limit.
        """
        cost = most.cost(self.prices)
        if self.limit is not None and self.spent + self.reserved + cost > self.limit:
            raise UserError(
                f"server.limit is {self.limit:g}: {self.spent + self.reserved:.6g} is spent or under way for "
                f"{self.answers} answers, all kept; raise it, and the same command goes on there"
            )
        self.reserved += cost

    def settle(self, most: Tokens, used: Tokens | None) -> None:
        """Book what a request took instead of the most that it could; nothing, if no answer came."""
        self.reserved -= most.cost(self.prices)
        if used is not None:
            self.spent += used.cost(self.prices)
            self.answers += 1
