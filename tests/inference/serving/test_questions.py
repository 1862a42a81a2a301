"""What is asked together is answered as if each were asked alone, and what cannot be asked spoils nobody's answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("litserve")
from fastapi import HTTPException
from pydantic import ValidationError

from research.data.stream import StreamInfo
from research.inference import Model
from research.inference.serving import routes
from research.inference.serving.answering import Asked, Refusal
from research.inference.serving.batches import Batches
from research.inference.serving.questions import CHARACTERS, Chat, Embed, Explain, Predict, Score, Tasks
from research.models import Student

TEXTS = ["the old valley", "a bridge of stone near the river", "seen from a bridge"]


@pytest.fixture
def asked(tiny: Callable[..., Student]) -> Asked:
    student = tiny("bert")
    student.add_head("s", 3)
    student.add_head("v", 1)
    streams = {"s": StreamInfo("classify", ("a", "b", "c")), "v": StreamInfo("regress", scale=(1.0, 2.0))}
    return Asked(Model(student.double().eval(), streams))


@pytest.fixture
def writer(tiny: Callable[..., Student]) -> Asked:
    return Asked(Model(tiny("t5"), {"facts": StreamInfo("generate", max_target_length=6)}))


def test_several_questions_are_answered_as_each_alone(asked: Asked) -> None:
    questions = [
        Predict(texts=TEXTS, task="s"),
        Predict(texts=TEXTS[1], task="v"),  # type: ignore[arg-type]
        Score(pairs={"text": TEXTS[0], "text_pair": TEXTS[2]}),  # type: ignore[arg-type]
        Predict(texts=[TEXTS[2], {"text": TEXTS[0], "text_pair": TEXTS[1]}], task="s", top=1),  # type: ignore[list-item]
        Predict(texts=TEXTS, task="none"),
        Embed(texts=TEXTS),
        Explain(text=TEXTS[1], task="s"),
        Tasks(),
        Predict(texts=TEXTS),
    ]
    together, alone = asked(questions), [asked([question])[0] for question in questions]
    assert together[4] == alone[4] == Refusal("task: no none; there is s, v")
    assert together[8] == alone[8] == Refusal("task: name one; there is s, v")
    assert together[7] == alone[7]
    flat = [_flat(one) for one in together]
    assert flat == [pytest.approx(_flat(one), abs=1e-6) for one in alone]
    expected = list(asked.model.predict(TEXTS, "s"))
    assert [a["label"] for a in together[0]["answers"]] == [a["label"] for a in expected]
    assert together[0]["answers"][1]["probabilities"] == pytest.approx(expected[1]["probabilities"], abs=1e-6)
    assert len(together[3]["answers"][0]["probabilities"]) == 1
    assert len(together[6]["words"]) == len(TEXTS[1].split())


def _flat(value: Any) -> Any:
    """The numbers in nested lists and dicts."""
    if isinstance(value, dict):
        return [n for one in value.values() for n in _flat(one)]
    if isinstance(value, list | tuple):
        return [n for one in value for n in _flat(one)]
    return [value] if isinstance(value, float) else []


def test_a_writer_writes_what_it_is_asked_for(writer: Asked) -> None:
    def chat(text: str, **given: Any) -> Chat:
        return Chat(model="facts", messages=[{"role": "user", "content": text}], **given)  # type: ignore[list-item]

    plain, cut, many, none = writer(
        [chat(TEXTS[0]), chat(TEXTS[1], max_tokens=2), chat(TEXTS[2], n=3, temperature=1.0), chat("a b").model_copy(
            update={"model": "x"})]
    )  # fmt: skip
    assert plain["texts"] == writer.model.generate([TEXTS[0]])
    assert cut["texts"] == writer.model.generate([TEXTS[1]], max_new_tokens=2)
    assert len(many["texts"]) == 3 and none == Refusal("task: no x of problem generate; there is facts")
    (letter,) = {plain["texts"][0].strip()[0]}
    stopped = writer([chat(TEXTS[0], stop=letter)])[0]["texts"][0]
    assert stopped == plain["texts"][0].split(letter)[0]


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (Predict, {"texts": []}, "at least 1 item"),
        (Predict, {"texts": "  "}, "is blank"),
        (Predict, {"texts": "a\x00b"}, "control character U\\+0000 at character 1"),
        (Predict, {"texts": "a" * (CHARACTERS + 1)}, "at most 20000 characters"),
        (Predict, {"texts": ["a"] * 257}, "at most 256 items"),
        (Predict, {"texts": "a", "tasks": "b"}, "Extra inputs"),
        (Predict, {"texts": [{"text": "a", "label": "b"}]}, "Extra inputs"),
        (Predict, {"texts": 3}, "valid list"),
        (Predict, {"texts": "a", "top": 0}, "greater than or equal to 1"),
        (Score, {"pairs": ["a"]}, "valid dictionary"),
        (Score, {"pairs": {"text": "a"}}, "Field required"),
        (Chat, {"model": "m", "messages": [{"role": "system", "content": "a"}]}, "'user'"),
        (Chat, {"model": "m", "messages": [{"role": "user", "content": "a"}], "n": 10**9}, "less than or equal to 8"),
        (Chat, {"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": []}, "Extra inputs"),
    ],
)  # fmt: skip
def test_limits(kind: Any, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        kind(**given)


def test_what_waits_while_a_worker_is_busy_goes_together() -> None:
    sent: list[list[Any]] = []
    done = asyncio.Event()

    async def send(questions: Any) -> list[Any]:
        sent.append(list(questions))
        await done.wait()
        return [10 * each for each in questions]

    async def asked() -> list[Any]:
        batches = Batches(send, workers=2, most=3)
        asking = [asyncio.create_task(batches.ask(i)) for i in range(7)]
        await asyncio.sleep(0.01)
        assert sent == [[0], [1]], "a free worker gets what is there at once"
        asking[3].cancel()
        done.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    answers = asyncio.run(asked())
    assert sent == [[0], [1], [2, 4, 5], [6]], "what nobody waits for any more is not sent"
    assert [each for i, each in enumerate(answers) if i != 3] == [0, 10, 20, 40, 50, 60]
    assert isinstance(answers[3], asyncio.CancelledError)


def test_a_batch_that_fails_fails_alone() -> None:
    async def send(questions: Any) -> list[Any]:
        await asyncio.sleep(0)
        if 1 in questions:
            raise TimeoutError("gone")
        return list(questions)

    async def asked() -> list[Any]:
        batches = Batches(send, workers=1, most=2)
        return await asyncio.gather(*(batches.ask(i) for i in range(5)), return_exceptions=True)

    answers = asyncio.run(asked())
    assert answers[0] == 0 and answers[3:] == [3, 4]
    assert [type(each) for each in answers[1:3]] == [TimeoutError] * 2


def test_a_question_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(routes.RegularRequestHandler, "handle_request", never)
    asking = routes.ModelRoutes(timeout=0.05, workers=1, most=8)
    asking.pre_setup(None)
    with pytest.raises(HTTPException) as told:
        asyncio.run(asking.ask(Tasks()))
    assert told.value.status_code == 504 and told.value.detail == "no answer within 0.05 seconds"
