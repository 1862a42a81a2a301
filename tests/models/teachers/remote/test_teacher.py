"""A teacher on a server, against the same model in this process.

``vllm.json`` holds what ``vllm serve FOLDER --dtype float32`` of vLLM 0.32.0 answered for the model ``stranger``. The
slow test asks a vLLM that is installed here.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl_divergence
from transformers import AutoModelForCausalLM, AutoTokenizer

from research.data.batch import Batch
from research.data.cache import key
from research.data.masking import Conditional, Masked, NextToken
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import RemoteTeacher, Student
from research.models.teachers.remote.echo import echo_request, places, read_written
from research.models.teachers.remote.question import Question
from research.models.teachers.remote.server import Server
from research.models.teachers.remote.writing import Writing
from research.objectives import Distillation
from research.step import Clean, Step

TEXTS = ["the soup is good", "味道 😀 ok", "a"]
TOP = 5
T = 2.0


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that has answered before, and is gone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = Server("stranger", "http://127.0.0.1:9/v1", retries=0)
    answers = json.loads(Path(__file__).with_name("vllm.json").read_text())
    for text, answer in answers.items():
        server.store[key(echo_request(text, TOP))] = answer
    return server


@pytest.fixture(scope="session")
def vllm(stranger: Path, start: Callable[..., str]) -> str:
    if (program := shutil.which("vllm")) is None:
        pytest.skip("vLLM is not installed")
    settings = ["--served-model-name", "stranger", "--max-model-len", "256", "--dtype", "float32", "--enforce-eager"]
    return start([program, "serve", str(stranger), *settings], patience=600)


def taught(server: Server, student: Student, batch_of: Any) -> tuple[torch.Tensor, Any]:
    """The loss of distilling next tokens."""
    teacher = RemoteTeacher(server, top=TOP)
    teacher.check(student, {})
    teacher.build(torch.device("cpu"))
    objective = Distillation("s", tokens=NextToken(), temperature=T)
    batch: Batch = batch_of(student, TEXTS, objective.views())
    loss = objective(Step({"s": batch}, student, teacher, {"s": objective.views()}))
    return loss, batch.views[NextToken()]


def expected(folder: Path, student: Student) -> torch.Tensor:
    """Where a token of the student's is one byte, as all of the model's are: KL of its five likeliest and the rest.

    Both are tempered after the rest is summed up. Bytes of a character that has several are of the rest.
    """
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).double(), AutoTokenizer.from_pretrained(folder)
    vocabulary = student.tokenizer.get_vocab()
    found = []
    for text in TEXTS:
        ids, their_ids = (t(text, add_special_tokens=False)["input_ids"] for t in (student.tokenizer, tokenizer))
        letters = student.tokenizer.convert_ids_to_tokens(ids)
        with torch.no_grad():
            mine = student.model(input_ids=torch.tensor([ids])).logits[0]
            theirs = model(torch.tensor([their_ids])).logits[0].log_softmax(-1)
        starts = np.cumsum([0, *map(len, letters)])
        for t in range(1, len(ids)):
            if len(letters[t]) > 1 or (not letters[t].isascii() and letters[t] != "Ġ"):
                continue
            # vLLM tells of five bytes and of the text's own, if that is not among them
            place = theirs[starts[t] - 1]
            top = dict.fromkeys([*place.topk(TOP).indices.tolist(), their_ids[starts[t]]])
            names = {i: tokenizer.convert_ids_to_tokens(i) for i in top}
            known = [
                i for i in top if names[i] in vocabulary and tokenizer.decode([i]) not in ("\ufffd", "<|endoftext|>")
            ]
            columns = [vocabulary[names[i]] for i in known]
            outcomes = []
            for logs, tokens in ((place, known), (mine[t - 1].log_softmax(-1), columns)):
                rest = (1 - logs[tokens].exp().sum()).log()
                outcomes.append(Categorical(logits=torch.cat([logs[tokens], rest[None]]) / T))
            found.append(kl_divergence(*outcomes))
    return T**2 * torch.stack(found).mean()


def of_bytes(folder: Path) -> Student:
    """A student of the teacher's own tokens."""
    student = Student(
        architecture={"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
        tokenizer=str(folder),
    )
    student.build()
    return student.double().eval()


@pytest.mark.parametrize("own", [True, False])
def test_next_tokens_are_the_models(own: bool, recorded: Server, stranger: Path, tiny: Any, batch_of: Any) -> None:
    student = of_bytes(stranger) if own else tiny("gpt2")
    loss, _ = taught(recorded, student, batch_of)
    torch.testing.assert_close(loss, expected(stranger, student), rtol=0, atol=2e-5)
    loss.backward()
    assert student.model.transformer.wte.weight.grad.any()


@pytest.mark.slow
def test_a_live_vllm_says_what_was_recorded(
    vllm: str, stranger: Path, recorded: Server, tiny: Any, batch_of: Any
) -> None:
    student = tiny("gpt2")
    live, _ = taught(Server("stranger", vllm, timeout=120), student, batch_of)
    torch.testing.assert_close(live, taught(recorded, student, batch_of)[0], rtol=0, atol=1e-5)


WROTE = {  # for each source the tokens of its answer, with the likeliest in their places
    "a": [("u", {"u": 0.7, "x": 0.2}), ("p", {"p": 0.5, "pp": 0.4})],
    "b": [("the", {"the": 0.6, "a": 0.3}), (" of", {" of": 0.5, " the": 0.1, "s": 0.3})],
}


@pytest.mark.parametrize(("family", "learned"), [("gpt2", 2), ("t5", 2)])
def test_targets_that_it_wrote(
    family: str, learned: int, stranger: Path, recorded: Server, tiny: Any, batch_of: Any
) -> None:
    """By hand, from answers of a chat in the form of the protocol: a student of bytes knows the tokens of "up", T5's of
    "the of", the first of them as "▁the"."""
    student = of_bytes(stranger) if family == "gpt2" else tiny("t5")
    writing = Writing("Say: {text}", top=3)
    for text, told in WROTE.items():
        content = [
            {"token": token, "top_logprobs": [{"token": u, "logprob": float(np.log(p))} for u, p in top.items()]}
            for token, top in told
        ]
        choice = {"message": {"content": "".join(token for token, _ in told)}, "logprobs": {"content": content}}
        recorded.store[key(writing.request(text))] = {"choices": [choice]}
    teacher = RemoteTeacher(recorded, writing=writing)
    teacher.check(student, {})
    objective = Distillation("s", tokens=Conditional(), temperature=T)
    targets = ["".join(token for token, _ in told) for told in WROTE.values()]
    batch = batch_of(student, [*WROTE], objective.views(), targets=targets)
    loss = objective(Step({"s": batch}, student, teacher, {"s": objective.views()}))

    tokens = batch.views[Conditional()]
    labels, hidden = tokens.labels, student(tokens).hidden
    vocabulary, found = student.tokenizer.get_vocab(), []
    for row, told in enumerate(WROTE.values()):
        first = int(torch.nonzero(labels[row] != -100)[0])
        for i, (token, top) in enumerate(told):
            mark = "▁" if family == "t5" and i == 0 else ""
            ids = [vocabulary.get(mark + text.replace(" ", "▁")) for text in (token, *top)]
            if labels[row, first + i] != ids[0]:
                continue
            known = [(column, p) for column, p in zip(ids[1:], top.values(), strict=True) if column is not None]
            q = student.vocabulary_head(hidden[row, first + i][None]).logits[0].softmax(-1)[[i for i, _ in known]]
            pair = [Categorical(logits=torch.cat([r, 1 - r.sum()[None]]).log() / T)
                    for r in (torch.tensor([p for _, p in known]).double(), q)]  # fmt: skip
            found.append(kl_divergence(*pair))
    assert len(found) == learned
    torch.testing.assert_close(loss, T**2 * torch.stack(found).mean(), rtol=0, atol=1e-6)
    loss.backward()


def test_another_target_than_it_wrote_is_left_out() -> None:
    answer = {"choices": [{"text": "up", "logprobs": {"tokens": ["up"], "top_logprobs": [{"up": -0.1}]}}]}
    assert read_written(answer, "up").ends.tolist() == [2] and read_written(answer, "no").ends.tolist() == []
    with pytest.raises(UserError, match=r"no log-probabilities of what it writes, or writing.top is 0"):
        read_written({"choices": [{"text": "up"}]}, "up")


def test_places_in_a_text() -> None:
    """Special tokens and bytes of a character are passed over; a repeated letter is not mistaken for a later one."""
    assert places(["<s>", "a", "b"], "ab").tolist() == [-1, 1, 2]
    assert places(["x", "", "", "😀", " y"], "x😀 y").tolist() == [1, -1, -1, 2, 4]
    assert places(["x", "�", "�", "y", "y"], "x味yy").tolist() == [1, -1, -1, 3, 4]
    assert places(["a", "z", "b"], "ab").tolist() == [1, -1, 2]
    assert places(["<s>", "b"], "a far b").tolist() == [-1, -1], "too far to be what follows"


def test_classes_are_asked_for(served: str, server_at: Any, tiny: Any, batch_of: Any) -> None:
    """The critic knows the four reviews; votes of a server without log-probabilities."""
    student = tiny("bert")
    texts = ["good food", "the soup is bad", "bad service here", "we had good noodles"]
    streams = {"s": StreamInfo("classify", ("down", "up"))}
    words = {"up": "positive", "down": "negative"}
    teacher = RemoteTeacher(server_at(served), {"s": Question("{text} :", words, votes=1)})
    teacher.check(student, streams)
    teacher.fit_probe("s", [], ["down", "up"])
    answer = teacher.answer("s", Clean(), batch_of(student, texts, (Clean(),)).views[Clean()])
    logits = answer.class_logits("s")
    assert logits.argmax(-1).tolist() == [1, 0, 0, 1]
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(4))


def test_a_server_without_echo_is_told(served: str, server_at: Any, tiny: Any, batch_of: Any) -> None:
    with pytest.raises(UserError, match="the server gives no log-probabilities of a given text"):
        taught(server_at(served), tiny("gpt2"), batch_of)


def test_refusals(recorded: Server, tiny: Any, batch_of: Any) -> None:
    student = tiny("bert")
    streams = {"s": StreamInfo("classify", ("a", "b"))}
    teacher = RemoteTeacher(recorded, {"s": Question("{text}", {"a": "yes", "c": "no"})})
    teacher.check(student, streams)
    with pytest.raises(UserError, match=r"questions.s.words has \['a', 'c'\]; the labels are \['a', 'b'\]"):
        teacher.fit_probe("s", [], ["a", "b"])
    with pytest.raises(UserError, match="questions has none for 'other'"):
        teacher.fit_probe("other", [], ["a"])
    with pytest.raises(UserError, match=r"questions.s: data.streams has no 's', only t"):
        teacher.check(student, {"t": streams["s"]})
    answer = teacher.answer("s", Masked(), batch_of(student, TEXTS, (Masked(),)).views[Masked()])
    with pytest.raises(UserError, match="has no hidden states"):
        _ = answer.encoded
    with pytest.raises(UserError, match="the view NextToken"):
        head = student.vocabulary_head(torch.zeros(1, 32).double())
        answer.divergence(head, lambda s, t: s.sum(-1), 1.0)
    with pytest.raises(UserError, match="top is 21"):
        RemoteTeacher(recorded, top=21)
