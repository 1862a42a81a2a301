"""Batches against an HTTP server that speaks that part of the protocol: files, batches, and their life."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import RemoteTeacher
from research.models.teachers.remote import batches
from research.models.teachers.remote.batches import parts
from research.models.teachers.remote.question import Question, request, text_of
from research.models.teachers.remote.server import Server
from research.models.teachers.remote.spending import Prices
from research.step import Clean

WORDS = {"up": "positive", "down": "negative"}
REVIEWS = ["good food", "bad food", "a good and warm meal", "the soup is bad"]


class Office:
    """Keeps files and batches; a batch is done once it was looked at ``looks`` times.

    It answers a chat " positive" where the prompt says good and " negative" elsewhere, and none where it says "broken".
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks, self.status = 2, "completed"
        self.url, self.chats = "", 0

    def app(self) -> Any:
        from fastapi import FastAPI, HTTPException, Request, Response

        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> dict[str, Any]:
            self.chats += 1
            return answer_to(await request.json())

        @app.post("/v1/files")
        async def upload(request: Request) -> dict[str, Any]:
            head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
            form: Any = message_from_bytes(head + await request.body()).get_payload()
            fields = {
                part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in form
            }
            assert fields["purpose"] == b"batch"
            return self.file(fields["file"])

        @app.get("/v1/files/{name}/content")
        async def content(name: str) -> Response:
            return Response(self.files[name], media_type="application/octet-stream")

        @app.post("/v1/batches")
        async def create(request: Request) -> dict[str, Any]:
            asked = await request.json()
            assert asked["completion_window"] == "24h"
            name = f"batch_{len(self.batches)}"
            self.batches[name] = {"looks": 0, **asked}
            return self.shown(name, "validating")

        @app.get("/v1/batches/{name}")
        async def retrieve(name: str) -> dict[str, Any]:
            if name not in self.batches:
                raise HTTPException(404, "no such batch")
            batch = self.batches[name]
            batch["looks"] += 1
            if batch["looks"] < self.looks:
                return self.shown(name, "in_progress")
            if "output_file_id" not in batch:
                self.work(batch)
            return self.shown(name, self.status)

        return app

    def file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "f",
                "purpose": "batch", "status": "processed"}  # fmt: skip

    def shown(self, name: str, status: str) -> dict[str, Any]:
        batch = {key: value for key, value in self.batches[name].items() if key != "looks"}
        return {"id": name, "object": "batch", "created_at": 0, "status": status, **batch}

    def work(self, batch: dict[str, Any]) -> None:
        done, broken = list[str](), list[str]()
        for line in map(json.loads, self.files[batch["input_file_id"]].splitlines()):
            assert line["method"] == "POST" and line["url"] == batch["endpoint"]
            body = line["body"]
            prompt = prompt_of(body)
            response = {"status_code": 200, "request_id": "r", "body": answer_to(body)}
            if "broken" in prompt:
                response = {"status_code": 400, "body": {"error": {"message": "a broken prompt"}}}
            (broken if "broken" in prompt else done).append(
                json.dumps({"id": "l", "custom_id": line["custom_id"], "response": response, "error": None})
            )
        batch["output_file_id"] = self.file("\n".join(reversed(done)).encode())["id"]  # in any order
        batch["error_file_id"] = self.file("\n".join(broken).encode())["id"] if broken else None


def prompt_of(body: dict[str, Any]) -> str:
    return body["prompt"] if "prompt" in body else body["messages"][0]["content"]


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    text = " positive" if "good" in prompt_of(body) else " negative"
    choice = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": len(prompt_of(body).split()), "completion_tokens": 1}
    return {"id": "a", "model": body["model"], "choices": [{"index": 0, **choice}], "usage": usage}


@pytest.fixture
def office() -> Iterator[Office]:
    pytest.importorskip("openai", reason="the extra remote is not installed")
    pytest.importorskip("fastapi", reason="the server of transformers is not installed")
    import uvicorn

    office, door = Office(), socket.socket()
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(office.app(), log_level="error"))
    thread = threading.Thread(target=server.run, args=([door],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    office.url = f"http://127.0.0.1:{door.getsockname()[1]}/v1"
    yield office
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda **settings: Server("critic", office.url, batch=True, retries=0, **settings)


def asked(prompts: list[str], api: str = "chat") -> list[Any]:
    return [request(prompt, api, 3, temperature=0.0) for prompt in prompts]


def test_answers_come_once_and_in_the_order_of_the_requests(office: Office, client: Any) -> None:
    """Chats and completions are a batch each; what is answered on disk is in none."""
    requests = [*asked(REVIEWS), *asked(REVIEWS[:2], "completions"), *asked(REVIEWS[:1])]
    answers = client().ask(requests)
    assert [text_of(a).strip() for a in answers] == ["positive" if "good" in str(r) else "negative" for r in requests]
    assert sorted(batch["endpoint"] for batch in office.batches.values()) == ["/v1/chat/completions", "/v1/completions"]
    client().ask([*requests, *asked(["more good food"])])
    assert len(office.batches) == 3
    assert len(office.files[office.batches["batch_2"]["input_file_id"]].splitlines()) == 1


def test_a_request_without_an_answer_is_told_and_the_others_kept(office: Office, client: Any) -> None:
    server = client()
    with pytest.raises(UserError, match=r"have no answer, 1 faults, such as .*a broken prompt.*kept"):
        server.ask(asked([*REVIEWS, "broken"]))
    assert server.missing(asked([*REVIEWS, "broken"])) == asked(["broken"])


def test_an_expired_batch_gives_what_it_has(office: Office, client: Any) -> None:
    office.status = "expired"
    server = client()
    with pytest.raises(UserError, match=r"batch batch_0 is expired"):
        server.ask(asked(REVIEWS))
    assert not server.missing(asked(REVIEWS)) and not server.store.batches()


def test_the_limit_is_for_the_whole_batch(office: Office, client: Any) -> None:
    """At 1 a token: the most that may be used is reserved, what was used is paid."""
    with pytest.raises(UserError, match=r"server.limit is 10: "):
        client(prices=Prices(1e6, 1e6), limit=10.0).ask(asked(REVIEWS))
    assert not office.batches
    server = client(prices=Prices(1e6, 1e6), limit=1000.0)
    server.ask(asked(REVIEWS))
    assert server.purse.spent == sum(len(text.split()) + 1 for text in REVIEWS) and server.purse.reserved == 0


def test_a_stopped_command_waits_for_the_batch_that_it_sent(office: Office, tmp_path: Path) -> None:
    """Killed while the batch is under way; the next command sends nothing, and a batch that is gone is no hindrance."""
    (tmp_path / "reviews.csv").write_text("text\n" + "\n".join(REVIEWS))
    config = {
        "server": {"model": "critic", "url": office.url, "batch": True, "retries": 0},
        "source": {"class_path": "research.data.sources.CSV", "init_args": {"paths": "reviews.csv", "text": "text"}},
        "question": {"prompt": "{text} :", "words": WORDS, "votes": 1},
        "out": "labelled.jsonl",
    }
    (tmp_path / "label.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "research.cli", "teacher", "label", "--config", "label.yaml"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[4])}
    given: dict[str, Any] = {"cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE, "text": True}
    office.looks = 1_000_000
    first = subprocess.Popen(command, **given)
    while first.poll() is None and not any(batch["looks"] for batch in office.batches.values()):
        time.sleep(0.05)
    first.kill()
    first.communicate()
    assert not (tmp_path / "labelled.jsonl").exists()
    office.looks = 1
    second = subprocess.run(command, **given)
    assert second.returncode == 0, second.stderr
    lines = [json.loads(line) for line in (tmp_path / "labelled.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == ["up", "down", "up", "down"]
    assert len(office.batches) == 1


def test_a_batch_that_is_gone_is_told_once(office: Office, client: Any) -> None:
    client().store.begin("batch_old")
    with pytest.raises(UserError, match="status 404"):
        client().ask(asked(REVIEWS))
    assert len(client().ask(asked(REVIEWS))) == 4


def test_a_teacher_is_asked_before_the_first_step(office: Office, client: Any, tiny: Any, batch_of: Any) -> None:
    """One batch for all; then the training finds each answer on disk."""
    student = tiny("bert")
    teacher = RemoteTeacher(client(), {"s": Question("{text} :", WORDS, votes=1)})
    teacher.check(student, {"s": StreamInfo("classify", ("down", "up"))})
    teacher.fit_probe("s", [], ["down", "up"])
    shown = [batch_of(student, REVIEWS[i : i + 2], [Clean()]).views[Clean()] for i in (0, 2)]
    teacher.foresee((Clean(), tokens, ("s",)) for tokens in shown)
    assert len(office.batches) == 1
    told = [teacher.answer("s", Clean(), tokens).class_logits("s").argmax(-1).tolist() for tokens in shown]
    assert told == [[1, 0], [1, 0]] and len(office.batches) == 1


def test_no_batch_is_larger_than_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(requests: list[Any]) -> list[int]:
        return [len(lines) for _, lines in parts(requests, "m")]

    monkeypatch.setattr(batches, "MOST_REQUESTS", 3)
    monkeypatch.setattr(batches, "MOST_BYTES", 2000)
    assert sizes(asked(list("abcd"))) == [3, 1]
    assert sizes(asked(["a" * 900, "b" * 900, "c"], "completions")) == [1, 2]


def test_a_fit_says_what_its_teacher_may_cost(office: Office, tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    """Twelve texts, eight tokens at most for each, at 1 a token; the limit stops it, and what was paid for is kept."""
    from research.run import CHOSEN
    from research.terminal import run_command

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = [f"{how} {what}" for how in ("good", "bad") for what in ("food", "soup", "meal", "fish", "rice", "bread")]
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\n" + "\n".join(f"{t},{'up' if 'good' in t else 'down'}" for t in texts))
    source = {"class_path": "research.data.sources.CSV",
              "init_args": {"paths": str(table), "text": "text", "label": "label"}}  # fmt: skip
    server = {"model": "critic", "url": office.url, "retries": 0, "prices": {"prompt": 0.0, "completion": 1e6}}
    teacher = {"server": server, "questions": {"s": {"prompt": "{text} :", "words": WORDS, "votes": 1}}}
    shape = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = {
        "model": {
            "student": {"architecture": shape, "tokenizer": {"source": source, "vocab_size": 300}},
            "teacher": {"class_path": "research.models.RemoteTeacher", "init_args": teacher},
            "objectives": {"kd": {"class_path": "research.objectives.Distillation", "init_args": {"stream": "s"}}},
        },
        "data": {
            "streams": {
                "s": {
                    "class_path": "research.data.TaskDataModule",
                    "init_args": {"source": source, "validation": 0.3, "batch_size": 2},
                }
            }
        },
        "trainer": {"max_steps": 12, "accelerator": "cpu", "enable_progress_bar": False},
        "run": {"folder": str(tmp_path / "runs"), "wandb": "disabled", "name": "taught"},
    }
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config))

    def fit(*more: str) -> tuple[int, str]:
        monkeypatch.delenv(CHOSEN, raising=False)
        caplog.clear()
        with caplog.at_level("INFO"):
            code = run_command(["fit", "--config", str(tmp_path / "fit.yaml"), *more])
        return code, caplog.text

    code, told = fit("--model.teacher.init_args.server.limit", "20")
    assert code == 2
    assert "one pass over training and validation texts takes 12 requests, 0 of them answered on disk" in told
    assert "write at most 96, at most 96 in all, of which server.limit allows 20" in told
    paid = office.chats
    assert 0 < paid <= 20
    code, told = fit()
    assert code == 0 and f"takes 12 requests, {paid} of them answered on disk" in told
    assert f"write at most {96 - 8 * paid}, at most {96 - 8 * paid} in all\n" in told
    assert office.chats == 12
