"""The page shows every text as it is, and is written whole or not at all."""

import html.parser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from research.data.inspect.layout import width
from research.errors import UserError
from research.evaluation.errors.page import write_page
from research.evaluation.errors.pictures import draw_matrix
from research.evaluation.errors.sections import Section, Shown, Table, as_text

NASTY = '<script>alert("1 & 2")</script> </dd> {{ 7 * 7 }} 我们 <img src=x onerror=alert(1)>'


class Reader(html.parser.HTMLParser):
    """Collects tags and text, as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.text, self.addresses = list[str](), "", list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def section() -> Section:
    picture = draw_matrix(np.array([[3, 1], [0, 2]]), ["$x_{", "<b>" * 20])
    return Section(NASTY, NASTY, Table([NASTY, "n"], [[NASTY, "1"]]), [Shown(NASTY, NASTY)] * 5, picture)


def test_texts_are_escaped(tmp_path: Path) -> None:
    write_page(NASTY, {NASTY: [section()]}, tmp_path / "deep" / "page.html")
    found = Reader((tmp_path / "deep" / "page.html").read_text(encoding="utf-8"))
    assert "script" not in found.tags and found.tags.count("img") == 1
    assert found.text.count(NASTY) == 2 + 2 + 2 + 2 + 10, "title, heading and contents, section, table, examples"
    assert all(address.startswith(("data:image/svg+xml;base64,", "#c")) for address in found.addresses), (
        "nothing from afar"
    )


def test_a_failure_leaves_the_page_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    write_page("first", {}, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("research.files.os.replace", full)
    with pytest.raises(UserError, match=r"cannot be written .No space left on device"):
        write_page("second", {}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_terminal_gets_eighty_columns() -> None:
    text = as_text([replace(section(), title="Title")] * 2)
    assert max(map(width, text.splitlines())) <= 80
    assert text.count("我们") >= 3
