"""The routes of the server: each hands its question to the worker, and gives the answer or the reason for none."""

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse, Response, StreamingResponse
from litserve.server import RegularRequestHandler
from litserve.specs.base import LitSpec

from research.inference.serving.answering import Refusal
from research.inference.serving.batches import Batches
from research.inference.serving.metrics import TOGETHER
from research.inference.serving.questions import Chat, Embed, Explain, Predict, Question, Score, Tasks
from research.inference.serving.worker import Worker


class Routes(LitSpec):
    """A route for each kind of question, all before one worker, so that it answers together what they ask.

    Args:
        kinds: of questions, each posted to its path.
        timeout: seconds after which a question is given up.
        workers: processes that answer.
        most: questions that one of them answers together.
    """

    def __init__(self, kinds: Sequence[type[Question]], timeout: float, workers: int, most: int) -> None:
        super().__init__()
        self.api_path, self.timeout = kinds[0].path, timeout
        self.batches = Batches(self._send, workers, most)
        for kind in kinds:
            self.add_endpoint(kind.path, self._route(kind), ["POST"])

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(path for path, *_ in self._endpoints)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **super().__getstate__(),
            "_endpoints": [],
            "worker": None,
            "batches": None,
        }  # the worker's process needs no routes

    def pre_setup(self, lit_api: Any) -> None:
        self.worker: Worker = lit_api

    def decode_request(self, request: Any, context_kwargs: Any) -> Any:
        return request

    def encode_response(self, output: Any, context_kwargs: Any) -> Any:
        return output

    async def ask(self, question: Any) -> Any:
        """Raises:
        HTTPException: 422 for what the model cannot be asked, 504 when it takes too long.
        """
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self.batches.ask(question)
        except TimeoutError:
            raise HTTPException(504, f"no answer within {self.timeout:g} seconds") from None
        if isinstance(answer, Refusal):
            raise HTTPException(422, answer.reason)
        return answer

    async def _send(self, questions: Sequence[Any]) -> list[Any]:
        TOGETHER.observe(len(questions))
        async with asyncio.timeout(self.timeout):  # of a worker that has died nothing comes
            said: Any = await RegularRequestHandler(self.worker, self._server).handle_request(questions, list)
        return list(said)

    def _route(self, kind: type[Question]) -> Any:
        async def route(question: kind) -> Response:  # type: ignore[valid-type]
            return JSONResponse(await self.ask(question))

        route.__doc__, route.__name__ = kind.__doc__, kind.__name__.lower()
        return route


class ModelRoutes(Routes):
    """All that a model can be asked.

    LitServe's own ``OpenAISpec`` would need a worker with a copy of the model for itself.
    """

    def __init__(self, timeout: float, workers: int, most: int) -> None:
        super().__init__([Predict, Embed, Score, Explain], timeout, workers, most)
        self.add_endpoint(Tasks.path, self.tasks, ["GET"])
        self.add_endpoint(Chat.path, self.chat, ["POST"])
        self.add_endpoint("/v1/models", self.models, ["GET"])

    async def tasks(self) -> Response:
        """What the student can be asked."""
        return JSONResponse(await self.ask(Tasks()))

    async def models(self) -> Response:
        """The tasks in which the student writes, as OpenAI lists models."""
        tasks = (await self.ask(Tasks()))["tasks"]
        names = [name for name, task in tasks.items() if task["problem"] == "generate"]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "hybrid-fine-tuning"} for name in names]
        return JSONResponse({"object": "list", "data": listed})

    async def chat(self, question: Chat) -> Response:
        """What the student writes after a text, as OpenAI's chat completions; a stream has all of it in one piece."""
        said = await self.ask(question)
        kind = "chat.completion.chunk" if question.stream else "chat.completion"
        part = "delta" if question.stream else "message"
        body = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": question.model,
            "choices": [
                {"index": i, part: {"role": "assistant", "content": text}, "finish_reason": end, "logprobs": None}
                for i, (text, end) in enumerate(zip(said["texts"], said["ends"], strict=True))
            ],
            "usage": {
                "prompt_tokens": said["read"],
                "completion_tokens": said["written"],
                "total_tokens": said["read"] + said["written"],
            },
        }
        if not question.stream:
            return JSONResponse(body)
        events = [f"data: {json.dumps(body, ensure_ascii=False)}\n\n", "data: [DONE]\n\n"]
        return StreamingResponse(iter(events), media_type="text/event-stream")
