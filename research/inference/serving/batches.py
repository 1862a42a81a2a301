"""Questions that wait while workers answer others go together to the next worker that is free."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any


class Batches:
    """The longer an answer takes, the more wait for the next: no setting has to follow the load.

    Args:
        send: has a worker answer several questions, in their order.
        workers: how many there are, and so how many batches are under way.
        most: questions of a batch.
    """

    def __init__(self, send: Callable[[Sequence[Any]], Awaitable[list[Any]]], workers: int, most: int) -> None:
        self.send, self.free, self.most = send, workers, most
        self.waiting: deque[tuple[Any, asyncio.Future[Any]]] = deque()
        self.under_way: set[asyncio.Task[None]] = set()  # the event loop itself keeps no hold of them

    async def ask(self, question: Any) -> Any:
        """Its answer; a question whose asker has gone is not sent."""
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append((question, answer))
        self._fill()
        return await answer

    def _fill(self) -> None:
        while self.free and (batch := self._next()):
            self.free -= 1
            task = asyncio.create_task(self._answer(batch))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    def _next(self) -> list[tuple[Any, asyncio.Future[Any]]]:
        batch: list[tuple[Any, asyncio.Future[Any]]] = []
        while self.waiting and len(batch) < self.most:
            question, answer = self.waiting.popleft()
            if not answer.done():
                batch.append((question, answer))
        return batch

    async def _answer(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            said = await self.send([question for question, _ in batch])
            for (_, answer), each in zip(batch, said, strict=True):
                if not answer.done():
                    answer.set_result(each)
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            self.free += 1
            self._fill()
