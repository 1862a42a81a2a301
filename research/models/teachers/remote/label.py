"""``teacher label``: the texts of a source, each with the label that a model on a server gives it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from research.data.sources import Source
from research.models.teachers.remote.command import run
from research.models.teachers.remote.job import Job
from research.models.teachers.remote.question import Question
from research.models.teachers.remote.server import Request, Server


class Label(Job):
    """Writes ``{"text", "label", "confidence"}`` lines, which ``JSONLines`` reads as a task.

    ``confidence`` is the share of the label's word in the probability, or the votes, of all words. A text whose answer
    names none of them is left out.

    Args:
        server: who is asked.
        source: the texts; labels of theirs are not read.
        question: what is asked of each.
        out: the file of JSON lines; it is written when all is answered, whole or not at all.
    """

    def __init__(self, server: Server, source: Source, question: Question, out: str) -> None:
        super().__init__(server, out)
        self.source, self.question = source, question

    def items(self) -> Iterator[tuple[str, list[Request]]]:
        return ((record["text"], self.question.requests(record["text"])) for record in self.source)

    def line(self, item: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        weights = self.question.weights(answers)
        label = max(weights, key=lambda name: weights[name])
        if weights[label] == 0:
            return None
        return {"text": item, "label": label, "confidence": round(weights[label] / sum(weights.values()), 6)}


def main(arguments: list[str]) -> int:
    return run(Label, "label", arguments)
