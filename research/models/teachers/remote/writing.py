"""``teacher write``: a target for each text of a source, and what is needed to distil it token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from research.data.sources import Source
from research.errors import UserError
from research.models.teachers.remote.command import run
from research.models.teachers.remote.job import Job
from research.models.teachers.remote.question import MOST, likeliest, request, text_of
from research.models.teachers.remote.server import Request, Server


@dataclass
class Writing:
    """Asks for an answer to a text, with the log-probabilities of its tokens.

    Args:
        prompt: with ``{text}`` where the text goes.
        api: ``chat``, or ``completions`` for a model that only goes on with a text.
        temperature: of the sampling, at least 0.
        max_tokens: of an answer, at least 1.
        top: log-probabilities asked for at each token, in [0, 20]; 0 for a server that gives none.
    """

    prompt: str
    api: Literal["chat", "completions"] = "chat"
    temperature: float = 0.0
    max_tokens: int = 128
    top: int = MOST

    def __post_init__(self) -> None:
        if "{text}" not in self.prompt:
            raise UserError("prompt: put {text} where the text goes")
        if self.temperature < 0:
            raise UserError(f"temperature is {self.temperature}; it must be at least 0")
        if self.max_tokens < 1:
            raise UserError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not 0 <= self.top <= MOST:
            raise UserError(f"top is {self.top}; it must lie in [0, {MOST}]")

    def request(self, text: str) -> Request:
        settings = {"temperature": self.temperature, **(likeliest(self.api, self.top) if self.top else {})}
        return request(self.prompt.replace("{text}", text), self.api, self.max_tokens, **settings)


class Write(Job):
    """Writes ``{"text", "target"}`` lines, which ``JSONLines`` reads as a task to generate; empty answers are left out.

    To train on them is distillation of whole sequences (Kim and Rush 2016, arXiv:1606.07947); a ``RemoteTeacher`` with
    the same server and writing adds the distributions of their tokens, from the answers on disk.

    Args:
        server: who is asked.
        source: the texts.
        writing: how an answer is asked for.
        out: the file of JSON lines; it is written when all is answered, whole or not at all.
    """

    def __init__(self, server: Server, source: Source, writing: Writing, out: str) -> None:
        super().__init__(server, out)
        self.source, self.writing = source, writing

    def items(self) -> Iterator[tuple[str, list[Request]]]:
        return ((record["text"], [self.writing.request(record["text"])]) for record in self.source)

    def line(self, item: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        target = text_of(answers[0])
        return {"text": item, "target": target} if target.strip() else None


def main(arguments: list[str]) -> int:
    return run(Write, "write", arguments)
