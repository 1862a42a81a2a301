"""``run`` and ``chat`` as a user gives them, on a small config."""

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from research.applications.customer_service import reporting, running, training
from research.applications.customer_service.__main__ import main
from research.applications.customer_service.desk import desk
from research.errors import UserError
from research.run import CHOSEN

ROOT = Path(__file__).parents[3]
FILES = ("results.json", "results.md", "risk.png")


@pytest.fixture(scope="module")
def desk_folder(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """A folder where the small config has run, with one seed and the data beside it."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "data").symlink_to(shared)
    return folder


@pytest.fixture(autouse=True)
def small(desk_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk_folder)
    monkeypatch.delenv(CHOSEN, raising=False)
    monkeypatch.setattr(training, "CONFIG", Path(__file__).with_name("small.yaml"))
    monkeypatch.setattr(reporting, "HERE", desk_folder)


@pytest.fixture
def trained(desk_folder: Path) -> None:
    """The command run has been given in the folder."""
    if not (desk_folder / "results.json").exists():
        assert main(["run", "--seeds", "0"]) == 0


def test_chat_before_run_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"runs/customer_service/0/hybrid: no calibrated run; give the command run"):
        main(["chat"])


def test_run_measures_all_arms_and_goes_on(
    desk_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", "--seeds", "0"]) == 0
    assert "setfit is left out" in capsys.readouterr().out
    results = json.loads((desk_folder / "results.json").read_text())
    assert list(results["arms"]) == ["ce", "hybrid"] and results["seeds"] == [0]
    assert results["command"] == "python -m research.applications.customer_service run --seeds 0"
    assert results["arms"]["hybrid"][0]["accuracy"] > 1.5 / 7, "seven intents"
    first = {name: (desk_folder / name).read_bytes() for name in FILES}
    monkeypatch.setattr(training, "run_command", None)  # nothing is trained again
    monkeypatch.setattr(running, "run_command", None)
    assert main(["run", "--seeds", "0"]) == 0
    assert {name: (desk_folder / name).read_bytes() for name in FILES[:2]} == {n: first[n] for n in FILES[:2]}


def test_chat_replies_until_the_end(
    trained: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("my card\x07 has not come\n" + "ы" * 5000 + "\n{{ 7*7 }}\n"))
    assert main(["chat"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("I know 7 questions") and out.count("desk> ") == 3 and out.endswith("Goodbye.\n")
    assert out.count("confidence ") == 3 and "49" not in out


@pytest.fixture
def address(trained: None) -> Iterator[str]:
    """Where ``page`` answers."""
    pytest.importorskip("litserve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "research.applications.customer_service", "page", "--port", str(port)]
    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT), "HYBRID_TOKEN": "secret"})
    url = f"http://127.0.0.1:{port}/"
    until = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < until and not healthy(url):
        time.sleep(0.2)
    yield url
    process.terminate()
    assert process.wait(60) == 0


def healthy(url: str) -> bool:
    try:
        return httpx.get(url + "health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_customer_talks_on_the_page(address: str, page: Any) -> None:
    page.goto(address)
    message = "my card <img src=x onerror=document.title='taken'> has not come"
    page.get_by_label("Your message").fill(message)
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("a token is needed").wait_for()
    assert page.get_by_role("log").inner_text() == "" and page.get_by_label("Your message").input_value() == message
    page.get_by_label("Token").fill("secret")
    page.get_by_role("button", name="Send").click()
    page.locator("#talk .desk").wait_for()
    (expected,) = desk().replies([message])
    said = page.locator("#talk .desk").inner_text()
    assert said.startswith(expected["text"]) and f"confidence {round(100 * expected['confidence'])} %" in said
    assert page.locator("#talk .you").inner_text() == message, "shown as it was typed, and not run"
    for question in expected.get("closest", []):
        assert page.get_by_role("button", name=question).count() == 1
    assert page.title() == "Customer service" and not page.wrong
    assert all(asked.startswith((address, "data:")) for asked in page.addresses)

    def asked(message: str) -> Any:
        header = {"Authorization": "Bearer secret"}
        return httpx.post(address + "reply", json={"message": message}, headers=header).json()

    assert asked(" ") == {"detail": "message: is blank"}
    texts = [message, "a [SEP] b"]
    assert [asked(text)["text"] for text in texts] == [reply["text"] for reply in desk().replies(texts)]


def test_runs_of_another_config_are_not_gone_on_with(
    trained: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(training.CONFIG.read_text().replace("max_steps: 5", "max_steps: 6"))
    monkeypatch.setattr(training, "CONFIG", other)
    with pytest.raises(UserError, match=r"runs/customer_service: its runs are of another config.yaml; move"):
        main(["run", "--seeds", "0"])
