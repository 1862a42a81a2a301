"""``report`` over small real runs that are made wrong on purpose, and over healthy ones."""

import re
import time
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
import torch

from research.data.stream import Stream
from research.evaluation.diagnosis import diagnose
from research.evaluation.report import go_on
from research.evaluation.run_log import RunLog
from research.terminal import run_command

GRADIENTS = ["--trainer.callbacks+=research.callbacks.ObjectiveGradients", "--trainer.callbacks.every", "4"]
WEIGHTS = "--model.weighting.init_args.weights"


WRONG = {
    "plain": [],
    "measured": GRADIENTS,
    "heavy": [WEIGHTS, "{mlm: 1000.0, nce: 0.1}", *GRADIENTS],
    "rate": ["--model.optimisation.lr", "10", "--trainer.max_steps", "-1", "--trainer.max_epochs", "2"],
    "dead": ["--model.objectives.nce.init_args.temperature", "1e6", WEIGHTS, "{ce: 0.0}", *GRADIENTS],
}


@pytest.fixture(scope="module")
def fit(program: Any) -> Any:
    """The log of a run of that name, which is trained at the first call."""

    @cache
    def fit(name: str) -> RunLog:
        assert program("fit", name, "--trainer.max_steps", "24", *WRONG[name]) == 0
        return RunLog.read(program.run_folder(name))

    return fit


def said(log: RunLog) -> dict[str, str]:
    return {finding.subject: finding.what for finding in diagnose(log)}


def test_a_healthy_run_is_measured_without_a_change_and_nothing_is_said(program: Any, fit: Any) -> None:
    plain, measured = fit("plain"), fit("measured")
    assert said(plain) == said(measured) == {}
    assert measured.curves["cosine/mlm/nce"][0].tolist() == [4, 8, 12, 16, 20, 24]
    states = [
        torch.load(log.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for log in (plain, measured)
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert all(0 <= share < 1 for share in plain.curves["waiting_for_data"][1])


@pytest.mark.slow
def test_two_processes_are_measured_without_a_change(program: Any) -> None:
    two = [
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp_find_unused_parameters_true",
        "--trainer.max_steps",
        "9",
    ]
    for name, more in (("two", []), ("two-measured", GRADIENTS)):
        process = program.start("fit", name, *two, *more)
        output = process.communicate(timeout=600)[0]
        assert process.returncode == 0, output
    rows = program.log("two-measured")
    assert [bool(row["cosine/mlm/ce"]) for row in rows if row["loss"]] == [False, False, False, True] * 2 + [False]
    plain = [{n: v for n, v in r.items() if not n.startswith(("gradient/", "cosine/"))} for r in rows]
    assert plain == program.log("two")


def test_one_weight_of_1000(fit: Any) -> None:
    heavy = said(fit("heavy"))
    assert list(heavy) == ["mlm"] and heavy["mlm"].startswith("dominates: 99.")


def test_a_rate_of_10_for_two_epochs(fit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    log = fit("rate")
    assert " 20 steps; wiki" in capsys.readouterr().out and go_on(log).endswith(" --trainer.max_epochs 4")
    diverged = said(log)
    assert diverged["mlm"].startswith("diverges: its loss has risen from 6.")


def test_dead_objectives_and_a_loader_that_sleeps(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temperature leaves one without a gradient, and the weight 0 leaves one out."""
    read, done = Stream.__getitem__, [time.perf_counter()]

    def slow(self: Stream, position: int) -> Any:
        time.sleep(time.perf_counter() - done[0])  # as long as the step before it took, on whatever machine
        batch = read(self, position)
        done[0] = time.perf_counter()
        return batch

    monkeypatch.setattr(Stream, "__getitem__", slow)
    dead = said(fit("dead"))
    assert dead.pop("ce") == "never computed"
    assert dead.pop("nce").startswith("is dead: its gradient has a norm of")
    assert re.match(r"keeps the training waiting \d\d% of the time", dead.pop("the loader"))
    assert not dead


def test_the_page_of_several_runs(program: Any, fit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them is cut off in the middle of a row."""
    measured, heavy, cut = fit("measured").folder, fit("heavy").folder, program.run_folder("cut")
    cut.mkdir()
    (cut / "config.yaml").write_bytes((heavy / "config.yaml").read_bytes())
    text = (heavy / "metrics.csv").read_bytes()
    (cut / "metrics.csv").write_bytes(text[: len(text) * 3 // 4])
    capsys.readouterr()
    assert run_command(["report", str(measured), str(heavy), str(cut)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"  - heavy: mlm dominates: 99\.\d\d% of the weighted gradients \(steps 4 to 12\)", told)
    assert "- measured:" not in told and re.search(r"\ncut, not finished: step 1\d\n", told)
    assert max(len(line) for line in told.split("\n  page")[0].splitlines()) <= 80

    page = (program.folder / "runs" / "report.html").read_text(encoding="utf-8")
    titles = ["Losses", "Weighted losses", "Weights", "Gradients of the objectives", "Cosines between gradients",
              "Mixture", "Learning rate", "Throughput", "Waiting for data", "Peak memory"]  # fmt: skip
    assert all(f"<h2>{title}</h2>" in page for title in titles)

    class Elements(HTMLParser):
        drawings, outside = 0, set[str]()

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.drawings += tag == "svg"
            self.outside |= {v for k, v in attrs if k in ("src", "href") and not v.startswith("#")}

    elements = Elements()
    elements.feed(page)
    assert elements.drawings >= len(titles) and not elements.outside
    assert page.count("training step (batch)") == 3 * elements.drawings
