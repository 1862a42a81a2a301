"""``serve``: a real server on a port, asked by real clients, rightly and wrongly."""

import importlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from research.inference import load
from research.terminal import run_command

pytest.importorskip("litserve")
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-tests"
LIMIT = 100_000  # bytes of a body


@pytest.fixture(scope="module")
def malformed() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("malformed")


class Server:
    """``serve`` in a process of its own, from the first answer on."""

    def __init__(self, folder: Path, *given: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / f"server-{self.port}.log"
        line = [sys.executable, "-m", "research.cli", "serve", "--port", str(self.port), *given]
        own = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(line, cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        until = time.monotonic() + 600
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.terminate()
                pytest.fail(self.log.read_text())
            time.sleep(0.2)

    def healthy(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, **question: Any) -> Any:
        answer = self.http.post(path, json=question)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGTERM, group: bool = False) -> tuple[int, list[psutil.Process]]:
        """The exit status, and those of its processes that still run."""
        family = self.family()
        (os.killpg if group else os.kill)(self.process.pid, number)
        status = self.process.wait(60)
        self.http.close()
        return status, psutil.wait_procs(family, timeout=10)[1]


@pytest.fixture(scope="module")
def run(program: Any) -> Path:
    held_out = ["--data.streams.intents.init_args.validation", "0.5"]  # for the decisions
    assert program("fit", "served", "--trainer.max_steps", "8", *held_out) == 0
    folder: Path = program.run_folder("served")
    return folder


@pytest.fixture(scope="module")
def server(run: Path, slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    known = ["--neighbours", str(slices / "banking77" / "train.csv"), "--label", "category"]
    server = Server(
        tmp_path_factory.mktemp("server"), "--ckpt", str(run), *known, "--max-bytes", str(LIMIT), HYBRID_TOKEN=TOKEN
    )
    yield server
    assert server.end() == (0, [])
    said = server.log.read_text()
    assert TOKEN not in said and "Traceback" not in said, said


@pytest.fixture(scope="module")
def texts(slices: Path) -> list[str]:
    rows = (slices / "banking77" / "test.csv").read_text().splitlines()[1:]
    return [row.rpartition(",")[0].strip('"') for row in rows]


def close(said: Any, expected: Any) -> bool:
    return said["label"] == expected["label"] and said["probabilities"] == pytest.approx(
        expected["probabilities"], abs=1e-5
    )


def test_many_at_once_are_answered_as_the_model_answers(server: Server, run: Path, texts: list[str]) -> None:
    model = load(run)
    expected = list(model.predict(texts))
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda text: server.ask("/predict", texts=text, top=100)["answers"][0], texts))
    assert all(close(*both) for both in zip(said, expected, strict=True))
    assert all(
        close(*both) for both in zip(server.ask("/predict", texts=texts, top=99)["answers"], expected, strict=True)
    )
    assert server.ask("/embed", texts=texts[:3])["embeddings"] == [
        pytest.approx(row, abs=1e-4) for row in model.embed(texts[:3]).tolist()
    ]
    pair = {"text": texts[0], "text_pair": texts[1]}
    assert server.ask("/score", pairs=pair)["scores"] == pytest.approx(list(model.score([pair])), abs=1e-5)
    figures = server.http.get("/metrics").text
    alone = next(row for row in figures.splitlines() if row.startswith('hybrid_batch_requests_bucket{le="1.0"}'))
    count = next(row for row in figures.splitlines() if row.startswith("hybrid_batch_requests_count"))
    assert float(alone.split()[1]) < float(count.split()[1]), "some were answered together"
    assert f'hybrid_requests_total{{route="/predict",status="200"}} {len(texts) + 1}.0' in figures


def test_an_explanation(server: Server, run: Path, texts: list[str]) -> None:
    said = server.ask("/explain", text=texts[0], neighbours=3)
    assert close(said, next(load(run).predict(texts)))
    assert [texts[0][w["start"] : w["end"]] for w in said["words"]][:2] == texts[0].split()[:2]
    similar = [known["similarity"] for known in said["neighbours"]]
    assert len(similar) == 3 and similar == sorted(similar, reverse=True) and similar[0] <= 1.0001


def test_who_may_ask(server: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"X-API-Key": TOKEN}):
        with httpx.Client(base_url=server.http.base_url, headers=headers) as other:
            for path in ("/tasks", "/metrics", "/v1/models"):
                answer = other.get(path)
                assert answer.status_code == 401 and "Authorization: Bearer" in answer.json()["detail"]
            assert other.post("/predict", json={"texts": "a"}).status_code == 401
            assert other.get("/health").status_code == other.get("/").status_code == 200
            assert other.get("/info").status_code == other.get("/docs").status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"{", 422, "not JSON"),
        (b'{"texts": ""}', 422, "texts.0.text: is blank"),
        (b'{"texts": "\xff"}', 400, "parsing the body"),
        (b'{"texts": "a\\u0007"}', 422, "texts.0.text: holds the control character U+0007 at character 1"),
        (b'{"texts": "\\ud800"}', 422, "texts.0.text"),
        (b'{"texts": "a", "task": "other"}', 422, "task: no other; there is intents"),
        (b"[" * 50_000, 400, "parsing the body"),
        (b'{"texts": "' + b"a" * LIMIT + b'"}', 413, "too large"),
    ],
)
def test_what_is_wrong_is_said(server: Server, content: bytes, status: int, reason: str) -> None:
    answer = server.http.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.text


def test_any_language_and_what_looks_like_a_frame_is_text(server: Server, run: Path) -> None:
    texts = [
        "在哪里可以找到我的卡",
        "wo ist meine Karte?",
        "🙂",
        "{{ 7 * 7 }} ${HOME} <script>alert(1)</script>",
        "a [SEP] b",
    ]
    said = server.ask("/predict", texts=texts)["answers"]
    assert [one["label"] for one in said] == [one["label"] for one in load(run).predict(texts[:4])] + [said[4]["label"]]
    model = load(run)
    framed = model.embed(texts[4:])[0].tolist()
    model.student.tokenizer.backend_tokenizer.encode_special_tokens = True
    assert server.ask("/embed", texts=texts[4])["embeddings"][0] == pytest.approx(
        model.embed(texts[4:])[0].tolist(), abs=1e-4
    )
    assert model.embed(texts[4:])[0].tolist() != pytest.approx(framed, abs=1e-3)


def bad_requests(server: Server, malformed: Any, count: int, texts: list[str]) -> None:
    """So many are refused, each with a reason; what is asked rightly meanwhile and afterwards is answered."""
    before = server.ask("/predict", texts=texts)
    pids = {process.pid for process in server.family()}
    draw = random.Random(11)
    seen: dict[str, set[int]] = {}
    for number in range(count):
        method, path, headers, body = malformed.request(draw, TOKEN)
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        answer = server.http.request(method, path, content=body, headers=raw)
        assert 400 <= answer.status_code < 500, (number, method, path, headers, body[:200], answer.text)
        assert method == "HEAD" or answer.text, (method, path, headers, body[:200])
        seen.setdefault(path, set()).add(answer.status_code)
        if number % 100 == 0:
            send_raw(server.port, malformed.RAW[number // 100 % len(malformed.RAW)])
    assert {401, 413, 415, 422} <= set.union(*seen.values())
    for content in malformed.RAW:
        send_raw(server.port, content)
    assert server.ask("/predict", texts=texts) == before
    assert {process.pid for process in server.family()} == pids, "no process was replaced"


def send_raw(port: int, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sent:
        sent.settimeout(0.2)
        try:
            sent.sendall(content)
            sent.recv(1000)
        except OSError:
            pass  # cut off, or left waiting for the rest


def test_bad_requests_do_not_take_it_down(server: Server, malformed: Any, texts: list[str]) -> None:
    bad_requests(server, malformed, 400, texts)


@pytest.mark.slow
def test_ten_thousand_bad_requests_do_not_take_it_down(server: Server, malformed: Any, texts: list[str]) -> None:
    bad_requests(server, malformed, 10_000, texts)


def test_a_worker_that_dies_is_replaced(server: Server, texts: list[str]) -> None:
    before = server.ask("/predict", texts=texts)
    (worker,) = [p for p in server.family() if any("spawn_main" in part for part in p.cmdline())]
    worker.kill()
    until, said = time.monotonic() + 300, None
    while said != before and time.monotonic() < until:
        time.sleep(1)
        answer = server.http.post("/predict", json={"texts": texts})
        said = answer.json() if answer.status_code == 200 else None
    assert said == before


def test_a_person_asks_on_the_page(server: Server, page: Any, texts: list[str]) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/")
    assert "token is needed" in page.get_by_role("alert").inner_text()
    page.get_by_label("Token").fill(TOKEN)
    text = "Where is <b>my</b> card? <img src=x onerror=document.title='taken'>"
    page.get_by_label("Text").fill(text)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the keyboard alone will do
    page.get_by_role("heading", name="Answer").wait_for()
    said = server.ask("/explain", text=text)
    assert page.locator("#said").inner_text() == said["label"]
    rows = [row.inner_text().split() for row in page.locator("#shares tbody tr").all()]
    assert [row[0] for row in rows] == list(said["probabilities"])
    assert [float(row[-1]) for row in rows] == pytest.approx(
        [100 * p for p in said["probabilities"].values()], abs=0.06
    )
    assert page.locator("#words").inner_text() == text, "shown as it was typed, and not run"
    strongest = max(said["words"], key=lambda word: abs(word["weight"]))
    assert text[strongest["start"] : strongest["end"]] in page.locator("#words .most").all_inner_texts()
    near = [row.inner_text().split("\t") for row in page.locator("#near tbody tr").all()]
    assert [row[:2] for row in near] == [[known["text"], known["label"]] for known in said["neighbours"]]
    assert page.title() == "Ask the model" and not page.wrong
    assert all(address.startswith((f"http://127.0.0.1:{server.port}/", "data:")) for address in page.addresses)
    page.get_by_label("Text").fill("\u0007")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("holds the control character").wait_for()
    assert page.locator("#answer").is_hidden()


@pytest.fixture(scope="module")
def writer(program: Any, slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("writer")
    given = (ROOT / "tests" / "integration" / "writer.yaml").read_text().replace("SLICES", str(slices))
    (folder / "tiny.yaml").write_text(given)
    fitted = type(program)(folder)
    assert fitted("fit", "writer", "--trainer.max_steps", "10") == 0
    server = Server(folder, "--ckpt", str(fitted.run_folder("writer")), HYBRID_TOKEN=TOKEN)
    yield server, fitted.run_folder("writer")
    assert server.end(signal.SIGINT, group=True) == (0, []), "as Ctrl-C ends all that a terminal has started"
    assert "Traceback" not in server.log.read_text()


def test_openai_s_client_has_texts_written(writer: tuple[Server, Path]) -> None:
    openai = pytest.importorskip("openai")
    server, run = writer
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=TOKEN, max_retries=0)
    assert [model.id for model in client.models.list()] == ["facts"]
    messages = [{"role": "user", "content": "name[Blue Spice], eatType[coffee shop]"}]
    expected = load(run).generate([messages[0]["content"]])
    said = client.chat.completions.create(model="facts", messages=messages)
    assert [said.choices[0].message.content] == expected
    assert said.choices[0].finish_reason in ("stop", "length") and said.usage.completion_tokens > 0
    parts = client.chat.completions.create(model="facts", messages=messages, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected[0]
    several = client.chat.completions.create(model="facts", messages=messages, n=3, temperature=1.0, max_tokens=4)
    assert len(several.choices) == 3
    for wrong in ({"model": "other"}, {"n": 10**9}, {"messages": messages * 2}, {"tools": []}, {"max_tokens": 10**6}):
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(**{"model": "facts", "messages": messages, **wrong})
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=client.base_url, api_key="wrong", max_retries=0).models.list()


@pytest.fixture
def told(run: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What is said of a command that does not begin to serve, in one line."""

    def told(*given: str, ckpt: str = str(run)) -> str:
        assert run_command(["serve", "--ckpt", ckpt, *given]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    return told


def test_what_keeps_it_from_serving_is_one_line(
    told: Callable[..., str], slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert told("--port", str(port)).startswith(f"error: --port {port}: cannot listen on 127.0.0.1:{port} (Address")
    assert told(ckpt="none") == "error: --ckpt none: no such checkpoint, nor a run's folder with one"
    altered = bytearray((run / "checkpoints" / "last.ckpt").read_bytes())
    altered[len(altered) // 2] ^= 1
    (tmp_path / "altered.ckpt").write_bytes(altered)
    assert "not a readable checkpoint" in told(ckpt=str(tmp_path / "altered.ckpt"))
    assert "no task of" in told("--neighbours", str(slices / "banking77" / "train.csv"), "--label", "text")
    assert told("--timeout", "0") == "error: --timeout is 0.0; it must lie from 0.01 to 3600"
    monkeypatch.delenv("HYBRID_TOKEN", raising=False)
    assert told("--host", "0.0.0.0").endswith("is seen by others: set the environment variable HYBRID_TOKEN first")
    monkeypatch.setitem(sys.modules, "litserve", None)
    assert told() == "error: serve needs the extra: pip install 'hybrid-fine-tuning[serve]'"


def test_the_page_says_why_there_is_no_label(run: Path, page: Any, texts: list[str], tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "calibrated")
    names = tmp_path / "names.json"
    names.write_text(json.dumps({label: label.upper() for label in load(run).streams["intents"].labels}))
    free = tmp_path / "free.json"
    free.write_text(json.dumps({"wrong": 1, "abstain": 0}))  # so that it never says anything
    calibrate = ["calibrate", "--ckpt", str(tmp_path / "calibrated"), "--names", str(names)]
    for rule, starts in ((["--cost", str(free)], "no label: not sure enough"), ([], "")):
        assert run_command([*calibrate, *rule]) == 0
        server = Server(tmp_path, "--ckpt", str(tmp_path / "calibrated"))
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.get_by_label("Text").fill(texts[0])
        page.get_by_role("button", name="Ask").click()
        page.get_by_role("heading", name="Answer").wait_for()
        said = page.locator("#said").inner_text()
        assert said == starts or (not starts and said in json.loads(names.read_text()).values())
        assert not page.wrong
        server.end()
