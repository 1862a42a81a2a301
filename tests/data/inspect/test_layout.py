"""Columns, bars and lines, also where a character takes two columns."""

import textwrap

from hypothesis import given, settings
from hypothesis import strategies as st

from research.data.inspect.layout import COLUMNS, bars, clip, fill, table, width, wrap
from research.data.inspect.report import item

ENGLISH = "the quick brown fox jumps over the lazy dog " * 8
CHINESE = "送餐很快，味道也不错，下次还会再点。" * 12


def test_a_chinese_character_is_two_columns_wide() -> None:
    assert width("abc") == 3
    assert width("很快，ok") == 8
    assert width("é") == width("e\u0301") == 1
    assert clip("很快很快", 8) == "很快很快"
    assert clip("很快很快", 7) == "很快很…"
    assert clip("很快很快", 6) == "很快…"
    assert fill("很快", 6) == "很快  " and fill("很快", 6, right=True) == "  很快"


def test_words_are_kept_whole_and_chinese_breaks_anywhere() -> None:
    lines = wrap(ENGLISH, 6, 100)
    expected = textwrap.wrap(ENGLISH, COLUMNS, initial_indent=" " * 6, subsequent_indent=" " * 6)
    assert lines == expected
    lines = wrap(CHINESE, 4, 100)
    assert "".join(line.strip() for line in lines) == CHINESE
    assert all(width(line) in (COLUMNS, COLUMNS - 1) for line in lines[:-1])


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    assert wrap("short", 2, 1) == ["  short"]
    for text in (ENGLISH, CHINESE):
        lines = wrap(text, 4, 2)
        assert len(lines) == 2 and lines[1].endswith("…") and max(map(width, lines)) <= COLUMNS


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab 很，\n\t\u0301"), max_size=300), st.integers(1, 6))
def test_no_line_is_too_long_and_nothing_is_lost(text: str, lines: int) -> None:
    shown = wrap(text, 6, lines)
    assert len(shown) <= lines and all(width(line) <= COLUMNS for line in shown)
    if not shown or not shown[-1].endswith("…"):
        assert "".join("".join(shown).split()) == "".join(text.split())


def test_columns_of_a_table_are_aligned() -> None:
    lines = table(["stream", "texts"], [["评论", "12,000"], ["wiki", "7"]]).splitlines()
    assert lines[0] == "stream   texts"
    assert lines[2] == "评论    12,000" and lines[3] == "wiki         7"
    assert {width(line) for line in lines} == {14}
    lines = table(["stream", "x" * 40], [["评论" * 30, "1"]]).splitlines()
    assert {width(line) for line in lines} <= {COLUMNS, COLUMNS - 1} and "…" in lines[2]


def test_bars_are_in_proportion_and_none_is_lost() -> None:
    lines = bars([("a", 4000), ("好评", 2000), ("c", 1), ("d", 0)]).splitlines()
    lengths = [line.count("#") for line in lines]
    assert abs(lengths[0] - 2 * lengths[1]) <= 1 and lengths[2:] == [1, 0]
    assert max(map(width, lines)) <= COLUMNS
    assert [line.split()[1] for line in lines] == ["4,000", "2,000", "1", "0"]


def test_a_line_that_is_one_column_too_long_is_broken():
    lines = wrap("a " + "b" * (COLUMNS - 1), 0, 2)
    assert max(map(width, lines)) <= COLUMNS
    assert "".join(lines).replace(" ", "") == "a" + "b" * (COLUMNS - 1)


def test_a_long_remark_is_a_list_item_of_several_lines() -> None:
    told = item("data.streams.intents: fewer than 10 training texts of " + ", ".join(f"class_{i}" for i in range(12)))
    first, *more = told.splitlines()
    assert first.startswith("- data") and more and all(line.startswith("  class_") for line in more)
    assert max(map(width, [first, *more])) <= COLUMNS
