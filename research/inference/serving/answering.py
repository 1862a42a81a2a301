"""Answers to the questions of several requests, asked of the model together where that is possible."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from research.errors import UserError
from research.inference.attribution import occlusion
from research.inference.model import Model
from research.inference.neighbours import Neighbours
from research.inference.serving.questions import Chat, Embed, Explain, Predict, Score, Tasks, Text


@dataclass(frozen=True)
class Refusal:
    """What the model cannot be asked, and why."""

    reason: str


@dataclass(frozen=True)
class Asked:
    """A model, and the texts that its embeddings are compared with."""

    model: Model
    neighbours: Neighbours | None = None

    def __call__(self, questions: Sequence[Any]) -> list[Any]:
        """An answer or :class:`Refusal` to each, in their order."""
        together: dict[Hashable, list[int]] = {}
        for place, question in enumerate(questions):
            together.setdefault(_kind(question), []).append(place)
        answers: list[Any] = [None] * len(questions)
        for places in together.values():
            for place, answer in zip(places, self._alike([questions[i] for i in places]), strict=True):
                answers[place] = answer
        return answers

    def _alike(self, questions: list[Any]) -> list[Any]:
        try:
            return ANSWERS[type(questions[0])](self, questions)
        except UserError as error:
            if len(questions) == 1:
                return [Refusal(str(error))]
            return [answer for question in questions for answer in self._alike([question])]


def _kind(question: Any) -> Hashable:
    if isinstance(question, Chat):
        return type(question), question.model, question.most, question.temperature, question.top_p
    return type(question), question.task


def predicted(asked: Asked, questions: list[Predict]) -> list[Any]:
    """Labels with probabilities, numbers or generations for the texts of each question, in one batch."""
    answers = asked.model.predict((_plain(text) for q in questions for text in q.texts), questions[0].task)
    return [{"answers": [_shortened(a, q.top) for a in islice(answers, len(q.texts))]} for q in questions]


def embedded(asked: Asked, questions: list[Embed]) -> list[Any]:
    """An embedding for each text of each question."""
    rows = asked.model.embeddings(_plain(text) for q in questions for text in q.texts)
    return [{"embeddings": [row.tolist() for row in islice(rows, len(q.texts))]} for q in questions]


def scored(asked: Asked, questions: list[Score]) -> list[Any]:
    """The similarity of each pair, in [-1, 1]."""
    scores = asked.model.score(pair.model_dump() for q in questions for pair in q.pairs)
    return [{"scores": list(islice(scores, len(q.pairs)))} for q in questions]


def explained(asked: Asked, questions: list[Explain]) -> list[Any]:
    """An answer with the weight of each word in it and, where known texts were given, the nearest of them."""
    answers = list(asked.model.predict([q.text for q in questions], questions[0].task))
    embeddings = asked.model.embed([q.text for q in questions]) if asked.neighbours else [None] * len(questions)
    return [
        {
            **_shortened(answer, q.top),
            "words": [{"start": s, "end": e, "weight": w} for s, e, w in _words(asked.model, q)],
            "neighbours": asked.neighbours.nearest(row, q.neighbours) if asked.neighbours else [],
        }
        for q, answer, row in zip(questions, answers, embeddings, strict=True)
    ]


def described(asked: Asked, questions: list[Tasks]) -> list[Any]:
    """What the server can be asked: each task's problem and labels."""
    tasks = {name: {"problem": i.problem, "labels": i.labels} for name, i in asked.model.tasks.items()}
    return [{"tasks": tasks, "neighbours": asked.neighbours is not None}] * len(questions)


def written(asked: Asked, questions: list[Chat]) -> list[Any]:
    """Choices of a text, and how many tokens were read and written."""
    first, encode = questions[0], asked.model.student.tokenizer.backend_tokenizer.encode
    settings: dict[str, Any] = {} if first.most is None else {"max_new_tokens": first.most}
    if first.temperature > 0:
        settings |= {"do_sample": True, "temperature": first.temperature, "top_p": first.top_p}
    texts = [q.messages[0].content for q in questions for _ in range(q.n)]
    made = iter(asked.model.generate(texts, first.model, **settings))
    most = first.most or asked.model.tasks[first.model].max_target_length
    answers = []
    for question in questions:
        choices = list(islice(made, question.n))
        lengths = [len(encode(text, add_special_tokens=False).ids) for text in choices]
        read = len(encode(question.messages[0].content, add_special_tokens=False).ids)
        cut = [_before(text, question.stop) for text in choices]
        ends = [
            "length" if n >= most and text == c else "stop" for n, text, c in zip(lengths, choices, cut, strict=True)
        ]
        answers.append({"texts": cut, "ends": ends, "read": read, "written": sum(lengths)})
    return answers


ANSWERS: dict[type, Callable[[Asked, list[Any]], list[Any]]] = {
    Predict: predicted, Embed: embedded, Score: scored, Explain: explained, Tasks: described, Chat: written,
}  # fmt: skip


def _plain(text: Text) -> str | dict[str, str]:
    return text.text if text.text_pair is None else {"text": text.text, "text_pair": text.text_pair}


def _shortened(answer: dict[str, Any], top: int) -> dict[str, Any]:
    if "probabilities" not in answer:
        return answer
    highest = sorted(answer["probabilities"].items(), key=lambda one: -one[1])[:top]
    return {**answer, "probabilities": dict(highest)}


def _words(model: Model, question: Explain) -> list[tuple[int, int, float]]:
    if model.tasks[model.task(question.task)].problem == "generate":
        return []
    return occlusion(model, question.text, question.task)


def _before(text: str, stops: list[str]) -> str:
    """What stands before the first of some strings."""
    return text[: min((place for stop in stops if stop and (place := text.find(stop)) >= 0), default=len(text))]
