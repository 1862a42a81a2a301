"""A small model behind a server of the OpenAI protocol, which runs as a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from research.data.sources import TextFiles
from research.models import TrainedTokenizer
from research.models.teachers.remote.server import Server

GOOD = ["good food", "a good and warm meal", "we had good noodles", "good service here", "the soup is good"]
BAD = ["bad food", "a bad and cold meal", "we had bad noodles", "bad service here", "the soup is bad"]
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="session")
def critic(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a GPT-2 of two layers that has learned to answer " positive" or " negative" to ten reviews."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=400, kind="bpe").load()
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=256, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
    )
    lines = [
        f"{text} : {word}<|endoftext|>" for word, texts in (("positive", GOOD), ("negative", BAD)) for text in texts
    ]
    tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer(lines, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(120):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("critic")
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a GPT-2 of random weights whose tokens are bytes: the same on every machine."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    end, letters = "<|endoftext|>", sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([end, *letters])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    settings = {"n_positions": 256, "n_embd": 64, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=257, **settings))
    with torch.no_grad():  # weights as large as trained ones
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("stranger")
    model.eval().save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, bos_token=end).save_pretrained(folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int, log: Path, patience: float = 120) -> Iterator[str]:
    """The address of a server that a command starts; it is waited for, and ended."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        for _ in range(int(patience * 5)):
            if process.poll() is not None:
                raise RuntimeError(log.read_text()[-3000:])
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
                break
            except urllib.error.HTTPError:  # it listens: transformers fails here where there is no cache of the hub
                break
            except OSError:
                time.sleep(0.2)
        else:
            raise RuntimeError(f"no answer in {patience} s: {log.read_text()[-3000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """``start(command)``: the address of the server that the command starts, which ends with the tests."""
    with ExitStack() as running_ones:

        def start(command: list[str], patience: float = 120) -> str:
            port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
            command = [*command, "--host", "127.0.0.1", "--port", str(port)]
            return running_ones.enter_context(running(command, port, log, patience))

        yield start


@pytest.fixture(scope="session")
def served(critic: Path, start: Callable[..., str]) -> str:
    """``transformers serve`` with that model. It gives no log-probabilities."""
    for name in ("openai", "fastapi", "uvicorn"):
        pytest.importorskip(name, reason="the extra remote, or the server of transformers, is not installed")
    return start([str(Path(sys.executable).with_name("transformers")), "serve", str(critic), "--device", "cpu"])


@pytest.fixture
def server_at(critic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """``server_at(url, **settings)``: a client for that model, with a cache of the test's own."""
    pytest.importorskip("openai", reason="the extra remote is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda url, **settings: Server(str(critic), url, **settings)


Plan = list[Any]


@pytest.fixture
def proxied(served: str) -> Iterator[Callable[[Plan], tuple[str, list[float]]]]:
    """``proxied(plan)``: the address of an HTTP proxy before the server, and the times of the requests it has had.

    It takes a step of the plan for each request and lets all later ones pass: ``(status, headers, body)`` is answered
    instead of the server's, a number of seconds delays it, and "cut" closes the connection in the middle of it.
    """
    proxies: list[ThreadingHTTPServer] = []

    def proxied(plan: Plan) -> tuple[str, list[float]]:
        times: list[float] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                times.append(time.monotonic())
                step = plan.pop(0) if plan else None
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if isinstance(step, tuple):
                    return self.reply(*step)
                if isinstance(step, int | float):
                    time.sleep(step)
                headers = {"Content-Type": "application/json"}
                upstream = urllib.request.Request(served.removesuffix("/v1") + self.path, body, headers)
                with urllib.request.urlopen(upstream) as answer:
                    content = answer.read()
                if step == "cut":
                    self.reply(200, {"Content-Length": str(len(content))}, content[: len(content) // 2])
                    self.close_connection = True
                    return None
                return self.reply(200, {}, content)

            def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quietly."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        proxies.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", times

    yield proxied
    for server in proxies:
        server.shutdown()
        server.server_close()
