"""Many requests as one file, answered within a day: the Batch API of the protocol, where that is cheaper."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from research.data.cache import key
from research.models.teachers.remote.spending import Tokens

if TYPE_CHECKING:
    from research.models.teachers.remote.server import Request, Server

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # of one batch, as OpenAI has it
OPEN = ("validating", "in_progress", "finalizing", "cancelling")
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between two looks at a batch; each is twice the last
NOTHING = Tokens(0, 0)


class Batches:
    """The batches of one server and model.

    Those under way are kept on disk with the answers: a command that was stopped waits for them before it sends others.

    Args:
        server: whose client, store and purse they use.
    """

    def __init__(self, server: "Server") -> None:
        self.server, self.client, self.store = server, server.client, server.store

    async def fetch(self, requests: "Sequence[Request]", tick: Callable[[], object]) -> None:
        """Have the requests answered on disk.

        Raises:
            UserError: if one has no answer in the end, or the limit is reached. What has arrived is kept.
        """
        await asyncio.gather(*(self._take(name, NOTHING, tick) for name in self.store.batches()))
        sent = list[tuple[str, Tokens]]()
        for endpoint, lines in parts(self.server.missing(requests), self.server.model):
            most = self.server.count.sum(line["body"] for line in lines)
            sent.append((await self._send(endpoint, lines, most), most))
        told = await asyncio.gather(*(self._take(name, most, tick) for name, most in sent))
        if faults := [fault for each in told for fault in each]:
            raise self.server.failed(f"requests of a batch have no answer, {len(faults)} faults, such as {faults[0]}")

    async def _send(self, endpoint: str, lines: Sequence[dict[str, Any]], most: Tokens) -> str:
        self.server.purse.reserve(most)
        try:
            content = "\n".join(map(json.dumps, lines)).encode()
            with self.server.explained():
                file = await self.client.files.create(file=("requests.jsonl", content), purpose="batch")
                batch = await self.client.batches.create(
                    input_file_id=file.id,
                    endpoint=endpoint,  # type: ignore[arg-type]
                    completion_window="24h",
                )
        except BaseException:
            self.server.purse.settle(most, None)
            raise
        self.store.begin(batch.id)
        return batch.id

    async def _take(self, name: str, reserved: Tokens, tick: Callable[[], object]) -> list[str]:
        """Wait for a batch, keep its answers, and return why others are missing."""
        import openai

        faults, wait = list[str](), FIRST_WAIT
        with self.server.explained():
            try:
                while (batch := await self.client.batches.retrieve(name)).status in OPEN:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, LONGEST_WAIT)
            except openai.NotFoundError:
                self.store.end(name)  # or an old one would be waited for in every run
                raise
            for file in filter(None, (batch.output_file_id, batch.error_file_id)):
                for line in (await self.client.files.content(file)).text.splitlines():
                    answered = json.loads(line)
                    response = answered.get("response") or {}
                    if response.get("status_code") == 200:
                        self.server.keep(answered["custom_id"], response["body"], NOTHING)
                        tick()
                    else:
                        faults.append(json.dumps(answered.get("error") or response.get("body")))
        self.store.end(name)
        self.server.purse.settle(reserved, None)
        if batch.status != "completed":
            told = batch.errors.data[0].message if batch.errors and batch.errors.data else "see the server's page"
            faults.append(f"batch {name} is {batch.status}: {told}")
        return faults


def parts(requests: "Sequence[Request]", model: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The endpoint and the lines of each batch to send."""
    for endpoint, place in (("/v1/chat/completions", "messages"), ("/v1/completions", "prompt")):
        lines, size = list[dict[str, Any]](), 0
        for request in (request for request in requests if place in request):
            body = {"model": model, **request}
            length = len(json.dumps(body)) + 200
            if lines and (len(lines) == MOST_REQUESTS or size + length > MOST_BYTES):
                yield endpoint, lines
                lines, size = [], 0
            lines.append({"custom_id": key(request), "method": "POST", "url": endpoint, "body": body})
            size += length
        if lines:
            yield endpoint, lines
