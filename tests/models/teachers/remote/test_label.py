"""Labels and texts from a real server, as lines that a task reads."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.data.sources import CSV, JSONLines
from research.errors import UserError
from research.models.teachers.remote.generate import Generate
from research.models.teachers.remote.label import Label
from research.models.teachers.remote.question import Question, first_token
from research.models.teachers.remote.spending import Prices
from research.models.teachers.remote.writing import Write, Writing

GOOD = ["good food", "a good and warm meal", "we had good noodles", "good service here", "the soup is good"]
BAD = ["bad food", "a bad and cold meal", "we had bad noodles", "bad service here", "the soup is bad"]
WORDS = {"up": "positive", "down": "negative"}


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("text\n" + "\n".join([*GOOD, *BAD]))
    return path


@pytest.mark.parametrize(("api", "votes"), [("completions", 1), ("chat", 3)])
def test_labels_are_read_as_a_task(api: Any, votes: int, served: str, server_at: Any, reviews: Path) -> None:
    question = Question("{text} :", WORDS, api, votes)
    out = reviews.with_name("labelled.jsonl")
    Label(server_at(served), CSV(str(reviews), text="text"), question, str(out)).run()
    records = list(JSONLines(str(out), label="label"))
    told = {record["text"]: record["label"] for record in records}
    assert told == {**dict.fromkeys(GOOD, "up"), **dict.fromkeys(BAD, "down")}
    shares = [json.loads(line)["confidence"] for line in out.read_text().splitlines()]
    assert all(share in ((1.0,) if votes == 1 else (0.666667, 1.0)) for share in shares)


def test_no_word_no_line(served: str, server_at: Any, reviews: Path) -> None:
    out = reviews.with_name("labelled.jsonl")
    words = {"up": "excellent", "down": "terrible"}
    Label(server_at(served), CSV(str(reviews), text="text"), Question("{text} :", words, "chat", 1), str(out)).run()
    assert out.read_text() == ""


def test_a_server_without_log_probabilities_is_told(served: str, server_at: Any, reviews: Path) -> None:
    out = reviews.with_name("labelled.jsonl")
    label = Label(server_at(served), CSV(str(reviews), text="text"), Question("{text} :", WORDS), str(out))
    with pytest.raises(
        UserError, match="votes is 0, but the server gives no log-probabilities; set votes to 1 or more"
    ):
        label.run()
    assert not list(reviews.parent.glob("labelled*"))


def chat_of(**tokens: float) -> dict[str, Any]:
    """The answer of a chat, in the form that vLLM 0.32 gives it."""
    tops = [{"token": token, "logprob": value, "bytes": []} for token, value in tokens.items()]
    content = [{**tops[0], "top_logprobs": tops}]
    return {"choices": [{"message": {"content": tops[0]["token"]}, "logprobs": {"content": content}}]}


def test_probabilities_of_words() -> None:
    """Tokens count for the one word that they begin: " posi" and "Positive" for one, "n" for another, "pos" not."""
    question = Question("{text}", {**WORDS, "both": "posh"})
    answer = chat_of(**{" posi": -1.0, "Positive": -2.0, "n": -1.5, "pos": -0.1, "the": -3.0})
    weights = question.weights([answer])
    assert weights["up"] == pytest.approx(2.718281828**-1 + 2.718281828**-2)
    assert weights["down"] == pytest.approx(2.718281828**-1.5) and weights["both"] == 0
    completion = {"choices": [{"text": " p", "logprobs": {"top_logprobs": [{" p": -0.01, " n": -5.7}]}}]}
    assert first_token(completion) == pytest.approx({" p": 0.99005, " n": 0.003346}, abs=1e-5)
    with pytest.raises(UserError, match="no log-probabilities; set votes"):
        question.weights([{"choices": [{"text": "p"}]}])


def test_texts_are_written_and_none_twice(served: str, server_at: Any, tmp_path: Path) -> None:
    """The model goes on with " positive" or " negative": of six answers, two texts are left."""
    out = tmp_path / "texts.jsonl"
    labels = {"p": "good food", "n": "bad food"}
    Generate(server_at(served), "{label} :", str(out), 6, labels, api="completions", temperature=0.0).run()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines == [{"text": "positive", "label": "p"}, {"text": "negative", "label": "n"}]


def test_targets_are_read_as_a_task(served: str, server_at: Any, reviews: Path) -> None:
    out = reviews.with_name("targets.jsonl")
    writing = Writing("{text} :", "completions", top=0)
    Write(server_at(served), CSV(str(reviews), text="text"), writing, str(out)).run()
    records = list(JSONLines(str(out), target="target"))
    assert [record["text"] for record in records] == [*GOOD, *BAD]
    assert [record["target"].strip() for record in records] == ["positive"] * 5 + ["negative"] * 5


def test_prompts_show_examples_of_their_label(server_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    rows = [{"text": text, "label": label} for label, texts in (("g", GOOD), ("b", BAD)) for text in texts]
    path.write_text("\n".join(map(json.dumps, rows)))
    source = JSONLines(str(path), label="label")
    settings = {"labels": {"g": "praise", "b": "blame"}, "examples": source, "shots": 2}
    job = Generate(server_at("http://127.0.0.1:9"), "{examples}\n\nMore {label}:", "x", 4, **settings)
    items = list(job.items())
    assert items == list(job.items()) and [label for label, _ in items] == ["g", "b", "g", "b"]
    for label, [asked] in items:
        first, second, rest = asked["messages"][0]["content"].split("\n\n")
        assert {first, second} <= set(GOOD if label == "g" else BAD) and first != second
        assert rest == ("More praise:" if label == "g" else "More blame:")
    assert [asked["seed"] for _, [asked] in items] == [0, 1, 2, 3]


def test_estimate(server_at: Any, served: str, critic: Path, reviews: Path) -> None:
    """Prompts of ten reviews by the model's own tokenizer, one token each; nothing once they are answered."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(critic)
    source = CSV(str(reviews), text="text")
    server = server_at(served, tokenizer=str(critic), prices=Prices(2.0, 8.0))
    label = Label(server, source, Question("{text} :", WORDS, "completions", 1), str(reviews.with_name("out")))
    tokens = label.estimate()
    assert tokens.prompt == sum(len(tokenizer(f"{text} :")["input_ids"]) for text in [*GOOD, *BAD])
    assert tokens.completion == 80 and tokens.cost(server.prices) == pytest.approx((tokens.prompt * 2 + 640) / 1e6)
    label.run()
    assert 0 < server.purse.spent <= tokens.cost(server.prices)
    assert label.estimate().total == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_goes_on(how: Any, critic: Path, proxied: Any, reviews: Path) -> None:
    """The second run asks only what the first has no answer to; Ctrl-C waits for the one under way."""
    url, times = proxied([0.0, 0.0, 0.0, 1.5])
    config = {
        "server": {"model": str(critic), "url": url, "concurrency": 1},
        "source": {"class_path": "research.data.sources.CSV", "init_args": {"paths": str(reviews), "text": "text"}},
        "question": {"prompt": "{text} :", "words": WORDS, "votes": 1},
        "out": "labelled.jsonl",
    }
    reviews.with_name("label.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "research.cli", "teacher", "label", "--config", "label.yaml"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(reviews.parent), "PYTHONPATH": str(Path(__file__).parents[4])}
    given: dict[str, Any] = {"cwd": reviews.parent, "env": environment, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **given, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while len(times) < 4 and first.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    first.send_signal(how)
    told = first.communicate()[1]
    out = reviews.with_name("labelled.jsonl")
    assert first.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), told
    assert not out.exists()
    second = subprocess.run(command, **given)
    assert second.returncode == 0, second.stderr
    assert f"10 requests, {4 if how == signal.SIGINT else 3} of them answered on disk" in second.stderr
    assert len(out.read_text().splitlines()) == 10
    assert len(times) == (10 if how == signal.SIGINT else 11)


def test_settings(tmp_path: Path, server_at: Any) -> None:
    with pytest.raises(UserError, match=r"prompt: put \{text\} where the text goes"):
        Question("no place", WORDS)
    for words in ({"a": "yes"}, {"a": "yes", "b": "Yes."}, {"a": "yes", "b": " "}):
        with pytest.raises(UserError, match="words: give at least two labels"):
            Question("{text}", words)
    server = server_at("http://127.0.0.1:9")
    with pytest.raises(UserError, match="count is 0"):
        Generate(server, "write", "x", 0)
    with pytest.raises(UserError, match=r"prompt: \{label\} and the setting label"):
        Generate(server, "write {label}", "x", 1)
