"""The client of an OpenAI-compatible server: concurrent, polite, and paying for each answer once."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from research.data.cache import default_folder, key
from research.errors import UserError
from research.models.teachers.remote.batches import Batches
from research.models.teachers.remote.spending import Counter, Estimate, Prices, Purse, Tokens
from research.models.teachers.remote.store import Store

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Request = Mapping[str, Any]  # the body, without the model: with "messages" for chat, with "prompt" for completions


class Server:
    """A model on a server of the OpenAI protocol.

    Answers are kept under the cache folder by server, model and request: to ask again costs nothing, and a run that
    was stopped goes on. A request is tried again, with exponential backoff or as late as ``Retry-After`` says, after
    408, 409, 429 and 5xx, a cut connection, a timeout, and what is no answer of the protocol.

    Args:
        model: the model's name there.
        url: where the protocol begins, such as http://localhost:8000/v1.
        key_variable: the environment variable that holds the key, if the server wants one.
        concurrency: requests under way at once, at least 1.
        requests_per_minute: at most, or none.
        tokens_per_minute: read and written, as counted beforehand, at most, or none.
        timeout: seconds that one try may take, above 0.
        retries: further tries of a request, at least 0.
        prices: of a million tokens, or none where nothing is charged.
        limit: what one process may spend, above 0; a request that might pass it is not sent.
        tokenizer: the hub name, folder or ``package:NAME`` of the model's, to count tokens beforehand; without it a
            token has three bytes.
        batch: send all requests as files to be answered within a day, as OpenAI does at half the price: give those
            prices. Concurrency and rates do not count then.
    """

    def __init__(
        self,
        model: str,
        url: str,
        key_variable: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        prices: Prices | None = None,
        limit: float | None = None,
        tokenizer: str | None = None,
        batch: bool = False,
    ) -> None:
        rates = ("requests_per_minute", requests_per_minute, 1), ("tokens_per_minute", tokens_per_minute, 1)
        for name, value, least in (("concurrency", concurrency, 1), ("retries", retries, 0), *rates):
            if value is not None and value < least:
                raise UserError(f"server.{name} is {value}; it must be at least {least}")
        if timeout <= 0:
            raise UserError(f"server.timeout is {timeout}; it must be above 0")
        self.model, self.url, self.key_variable = model, url.rstrip("/"), key_variable
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
        self.prices, self.count, self.purse, self.batch = prices, Counter(tokenizer), Purse(limit, prices), batch

    @cached_property
    def store(self) -> Store:
        return Store(default_folder() / "remote" / f"{key(self.url, self.model)}.sqlite")

    def missing(self, requests: Sequence[Request]) -> list[Request]:
        """The requests that are not answered on disk, each once."""
        named = {key(request): request for request in requests}
        known = self.store.read(named)
        return [request for name, request in named.items() if name not in known]

    def estimate(self, chunks: Iterable[Sequence[Request]]) -> Estimate:
        """What the requests of all chunks take; one that two chunks have is counted twice."""
        estimate = Estimate(0, 0, Tokens(0, 0))
        for requests in chunks:
            missing = self.missing(requests)
            estimate.add(len(requests), len(missing), self.count.sum(missing))
        return estimate

    def ask(self, requests: Sequence[Request], tick: Callable[[], object] = lambda: None) -> list[dict[str, Any]]:
        """The answers, in the order of the requests; ``tick`` is called at each that arrives.

        The first failure, and the first Ctrl-C, let no further request go, but wait for those under way.

        Raises:
            UserError: if the server does not answer, or the limit is reached. What has arrived is kept.
        """
        if missing := self.missing(requests):
            fetch = Batches(self).fetch if self.batch else self._fetch
            try:
                self._runner.run(fetch(missing, tick))
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None  # those of the others are of the same kind
        names = [key(request) for request in requests]
        answers = self.store.read(names)
        return [answers[name] for name in names]

    async def _fetch(self, requests: Sequence[Request], tick: Callable[[], object]) -> None:
        waiting = deque(requests)

        async def work() -> None:
            while waiting:
                request = waiting.popleft()
                most = self.count(request)
                await self._admit(most)
                sending = asyncio.ensure_future(self._send(request, most))
                try:
                    await asyncio.shield(sending)
                except asyncio.CancelledError:
                    await sending  # it will be paid for, so it is taken
                    raise
                tick()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, len(requests))):
                group.create_task(work())

    async def _send(self, request: Request, most: Tokens) -> None:
        self.purse.reserve(most)
        try:
            create: Any = self.client.chat.completions if "messages" in request else self.client.completions
            with self.explained():
                answer = (await create.create(model=self.model, **request)).to_dict()
        except BaseException:
            self.purse.settle(most, None)
            raise
        self.keep(key(request), answer, most)

    def keep(self, name: str, answer: dict[str, Any], most: Tokens) -> None:
        """Write an answer to disk and book what it took, of the ``most`` that were reserved for it."""
        self.store[name] = answer
        usage = answer.get("usage") or {}
        used = Tokens(usage.get("prompt_tokens", most.prompt), usage.get("completion_tokens", most.completion))
        self.purse.settle(most, used)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What the client raises, in one line."""
        import openai

        try:
            yield
        except openai.APITimeoutError:
            raise self.failed(f"no answer within {self.timeout:g} s, {self.retries + 1} times") from None
        except openai.APIConnectionError as error:
            raise self.failed(f"{error.__cause__ or error}, {self.retries + 1} times") from None
        except openai.APIStatusError as error:
            raise self.failed(f"status {error.status_code}: {error.message}") from None

    def failed(self, how: str) -> UserError:
        return UserError(f"server {self.url}: {' '.join(how.split())[:300]}; answers so far are kept")

    async def _admit(self, most: Tokens) -> None:
        """Wait until the rates allow one more request."""
        requests, tokens = self._rates
        if requests is not None:
            await requests.acquire()
        if tokens is not None:
            if most.total > tokens.max_rate:
                raise UserError(f"server.tokens_per_minute is {tokens.max_rate:g}; one request may take {most.total}")
            await tokens.acquire(most.total)

    @cached_property
    def _rates(self) -> tuple[Any, Any]:
        from aiolimiter import AsyncLimiter

        rates = (self.requests_per_minute, self.tokens_per_minute)
        first, second = (None if rate is None else AsyncLimiter(rate) for rate in rates)
        return first, second

    @cached_property
    def _runner(self) -> asyncio.Runner:
        return asyncio.Runner()

    @cached_property
    def client(self) -> "AsyncOpenAI":
        import openai

        return openai.AsyncOpenAI(
            base_url=self.url,
            api_key=os.environ.get(self.key_variable) or "none",
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [check_answer]}),
        )


async def check_answer(response: Any) -> None:
    """Take what is no answer of the protocol, though its status is good, for a fault on the way: it is tried again."""
    import httpx2

    if not response.is_success or not response.request.url.path.endswith("/completions"):
        return
    await response.aread()
    try:
        choices = response.json()["choices"]
    except (ValueError, TypeError, KeyError):
        choices = None
    if not isinstance(choices, list) or not choices:
        told = response.text[:80]
        raise httpx2.DecodingError(f"no answer of the protocol: {told!r}", request=response.request)
