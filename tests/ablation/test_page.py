"""The page stands alone, says in words what it draws, and every link of it leads somewhere."""

import base64
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from research.ablation.reporting.analysis import Analysis
from research.ablation.reporting.layout import Layout
from research.ablation.reporting.page import page
from research.ablation.reporting.tables import link
from research.ablation.results import Results

ACCURACY, STS = "test/ce/accuracy", "test/sts/spearman"


class Tags(HTMLParser):
    """All tags in their order, and which are open at the end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str, key: str) -> list[str]:
        return [attributes[key] for name, attributes in self.seen if name == tag and key in attributes]


@pytest.fixture(scope="module")
def measured() -> dict:
    def entry(accuracy: float, sts: float, seconds: float) -> dict:
        curve = {"step": [0, 5, 10], "loss": [2.0, 1.5, 1.0], "validation/ce/accuracy": [0.1, None, accuracy]}
        return {ACCURACY: accuracy, STS: sts, "seconds": seconds, "curve": curve}

    return {
        ("none",): [entry(0.50, 0.8, 10), entry(0.52, 0.8, 10)],
        ("+a",): [entry(0.60, 0.7, 20), entry(0.62, 0.7, 20)],
        ("+b",): [entry(0.55, 0.6, 25), entry(0.57, 0.6, 25)],
        ("all",): [entry(0.90, 0.5, 30), "Boom <script>"],
    }


@pytest.fixture(scope="module")
def text(results_of: Callable[..., Results], measured: dict) -> str:
    axes, metrics = {"objectives": [arm for (arm,) in measured]}, {ACCURACY: "max", STS: "max"}
    results = results_of(axes, measured, metrics=metrics, baseline={"objectives": "none"})
    return page(Layout(Analysis(results)))


def test_page(text: str) -> None:
    tags = Tags(text)
    assert tags.open == []
    links, anchors = tags.all("a", "href"), tags.all("h3", "id")
    assert {link[1:] for link in links if link.startswith("#")} == set(anchors), "every arm's cells lead to its runs"
    folders = [link for link in links if not link.startswith("#")]
    assert (
        "../../runs/ablations/question/0007" in folders and "../../runs/ablations/question/0000/config.yaml" in folders
    )
    assert not [link for link in [*links, *tags.all("img", "src")] if "://" in link], "no network"
    assert not {"script", "link"} & {tag for tag, _ in tags.seen} and "Boom &lt;script&gt;" in text
    assert link({"run": "../50% of/a b"}) == "../50%25%20of/a%20b"
    assert "0.900</a> <small>(1 of 2 seeds, 1 failed)</small>" in text.replace("</strong>", "")


def test_names_are_words_and_never_tags(results_of: Callable[..., Results]) -> None:
    names = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', r"$\nosuch$", "_a & b"]
    arms = {(name,): [{ACCURACY: 0.5}, "</pre><script>"] for name in names}
    results = results_of({"<b>": names}, arms, metrics={ACCURACY: "max"}, baseline={"<b>": names[0]})
    for run in results.runs:
        run["run"] = f'runs/50% "of" #it/{run["key"]}'
    tags = Tags(page(Layout(Analysis(results))))
    assert tags.open == [] and not {"script", "b"} & {tag for tag, _ in tags.seen}
    assert not any("onerror" in attributes for _, attributes in tags.seen)
    assert "runs/50%25%20%22of%22%20%23it/0000" in tags.all("a", "href")
    drawn = "".join(base64.b64decode(source.partition(",")[2]).decode() for source in tags.all("img", "src"))
    assert "<script" not in drawn and r"$\nosuch$" in drawn


def test_plots_are_drawings_with_words(text: str) -> None:
    tags = Tags(text)
    told = tags.all("img", "alt")
    for source in tags.all("img", "src"):
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")
    assert told == [
        "ce/accuracy: none 0.510 ± 0.127, +a 0.610 ± 0.127, +b 0.560 ± 0.127, all 0.900",
        "sts/spearman: none 0.800 ± 0.000, +a 0.700 ± 0.000, +b 0.600 ± 0.000, all 0.500",
        "Learning curves: validation/ce/accuracy at the end: none 0.51, +a 0.61, +b 0.56, all 0.9",
        "ce/accuracy against cost: not beaten in both: none (10 s, 0.51), +a (20 s, 0.61), all (30 s, 0.9)",
        "sts/spearman against cost: not beaten in both: none (10 s, 0.8)",
        "sts/spearman against ce/accuracy: none 0.51 and 0.8, +a 0.61 and 0.7, +b 0.56 and 0.6, all 0.9 and 0.5",
        "Interactions, ce/accuracy: a without and with b: +0.100 and +0.350, interaction 0.250",
        "Interactions, sts/spearman: a without and with b: -0.100 and -0.100, interaction 0.000",
    ]


def test_what_the_arms_do_not_hold_is_not_drawn(results_of: Callable[..., Results]) -> None:
    results = results_of({"lr": ["1e-4", "3e-4"]}, {("1e-4",): [{ACCURACY: 0.5}], ("3e-4",): [None]})
    assert Tags(page(Layout(Analysis(results)))).all("img", "alt") == ["ce/accuracy: 1e-4 0.500"]
    nothing = results_of({"lr": ["1e-4", "3e-4"]}, {("1e-4",): [None], ("3e-4",): [None]})
    assert Tags(page(Layout(Analysis(nothing)))).all("img", "alt") == []
