"""The client against a real server, and a proxy that fails as networks do."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from research.errors import UserError
from research.models.teachers.remote.question import request, text_of
from research.models.teachers.remote.server import Server
from research.models.teachers.remote.spending import Prices

PROMPTS = ["good food :", "bad food :", "the soup is good :", "the soup is bad :"]


def asked(api: str = "completions", tokens: int = 3) -> list[Any]:
    return [request(prompt, api, tokens, temperature=0.0) for prompt in PROMPTS]


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_answers_are_the_models_own(api: str, server_at: Any, served: str, critic: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(critic), AutoTokenizer.from_pretrained(critic)
    answers = server_at(served).ask([*asked(api), *asked(api)[:1]])
    for prompt, answer in zip([*PROMPTS, PROMPTS[0]], answers, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        written = model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert text_of(answer).strip() == tokenizer.decode(written, skip_special_tokens=True).strip()


def test_an_answer_is_paid_once(server_at: Any, proxied: Any) -> None:
    url, times = proxied([])
    first = server_at(url).ask(asked())
    assert len(times) == 4
    assert server_at(url).ask(asked()[::-1]) == first[::-1]
    assert len(times) == 4
    assert server_at(url).missing([*asked(), request("new", "completions", 3)]) == [request("new", "completions", 3)]


JSON = b'{"choices": '


@pytest.mark.parametrize(
    "fault",
    [(500, {}, b"{}"), (502, {}, b"<html>"), "cut", (200, {}, JSON), (200, {}, b"{}"), (200, {}, b'{"choices": []}')],
)
def test_a_fault_on_the_way_is_tried_again(fault: Any, server_at: Any, served: str, proxied: Any) -> None:
    url, times = proxied([fault])
    answers = server_at(url, concurrency=1).ask(asked()[:1])
    assert len(times) == 2
    assert text_of(answers[0]) == text_of(server_at(served).ask(asked()[:1])[0])


def test_a_busy_server_is_left_alone_as_long_as_it_says(server_at: Any, proxied: Any) -> None:
    url, times = proxied([(429, {"Retry-After": "1"}, b"{}")])
    server_at(url).ask(asked()[:1])
    assert len(times) == 2 and times[1] - times[0] >= 1


def test_a_slow_answer_is_given_up(server_at: Any, proxied: Any) -> None:
    url, times = proxied([3])
    server_at(url, timeout=1.0).ask(asked()[:1])
    assert len(times) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ((401, {}, b'{"error": {"message": "no such key"}}'), "status 401: .*no such key"),
        ((400, {}, b"no"), "status 400"),
        ((500, {}, b"{}"), "status 500"),
        ((200, {}, JSON), "no answer of the protocol"),
        ("cut", "peer closed connection"),
        (3, "no answer within 1 s, 1 times"),
    ],
)
def test_what_stays_is_one_line_and_loses_nothing(fault: Any, told: str, server_at: Any, proxied: Any) -> None:
    """The others' answers, under way at the time, are on disk."""
    url, times = proxied([fault])
    server = server_at(url, retries=0, concurrency=3, timeout=1.0)
    with pytest.raises(UserError, match=f"server {url}: .*{told}.*answers so far are kept") as raised:
        server.ask(asked()[:3])
    assert "\n" not in str(raised.value)
    assert len(server.missing(asked()[:3])) == 1
    server.ask(asked()[:3])
    assert len(times) == 4


def test_nobody_there(server_at: Any) -> None:
    with pytest.raises(UserError, match=r"server http://127.0.0.1:9/v1: .*onnect.*, 1 times; answers so far are kept"):
        server_at("http://127.0.0.1:9/v1", retries=0).ask(asked())


def test_rates(server_at: Any, served: str) -> None:
    """A bucket of 600 tokens, that fills at ten a second: the third request of 204 or more has to wait for two."""
    server = server_at(served, tokens_per_minute=600, requests_per_minute=60)
    requests = [request(prompt, "completions", 200, temperature=0.0) for prompt in PROMPTS[:3]]
    counted = sum(server.count(each).total for each in requests)
    start = time.monotonic()
    server.ask(requests)
    assert time.monotonic() - start > (counted - 600) / 10 > 1
    with pytest.raises(UserError, match=r"server.tokens_per_minute is 600; one request may take 601"):
        server.ask([request("one", "completions", 600)])


def test_the_limit_is_never_passed(server_at: Any, proxied: Any, critic: Path) -> None:
    """At 1 a token, and the prompts counted by the model's tokenizer as the server counts them."""
    url, times = proxied([])
    few = [*asked(), *(request(prompt, "completions", 3, seed=1) for prompt in PROMPTS[:1])]
    settings: dict[str, Any] = {"prices": Prices(1e6, 1e6), "tokenizer": str(critic), "concurrency": 2}
    server = server_at(url, limit=40.0, **settings)
    with pytest.raises(UserError, match=r"server.limit is 40: .* for \d answers, all kept; raise it"):
        server.ask(few)
    used = sum(sum(row) for row in rows(server))
    assert 0 < used <= 40 and server.purse.spent == used and len(server.missing(few)) == 5 - len(times)
    assert {row[0] for row in rows(server)} <= {server.count(each).prompt for each in few}
    again = server_at(url, limit=200.0, **settings)
    again.ask(few)
    assert len(times) == 5 and server.purse.spent + again.purse.spent == sum(sum(row) for row in rows(server))


def rows(server: Server) -> list[tuple[int, int]]:
    """Prompt and completion tokens of the answers on disk, as the server counts them."""
    with sqlite3.connect(server.store.path) as base:
        usage = "json_extract(answer, '$.usage.prompt_tokens'), json_extract(answer, '$.usage.completion_tokens')"
        return base.execute(f"SELECT {usage} FROM answers").fetchall()


def test_settings() -> None:
    for wrong in ({"concurrency": 0}, {"timeout": 0.0}, {"retries": -1}, {"limit": 1.0}, {"requests_per_minute": 0}):
        with pytest.raises(UserError, match=rf"server.{next(iter(wrong))} is "):
            Server("m", "http://127.0.0.1:9/v1", **wrong)
    with pytest.raises(UserError, match=r"server.prices.prompt is -1"):
        Prices(-1.0, 0.0)
