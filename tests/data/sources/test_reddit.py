"""Reddit on real comments, on the forms of deletion, bots and markdown, and against markdown-it's own HTML."""

import html
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard
from lxml.html import fromstring
from markdown_it import MarkdownIt

from research.data.sources import Reddit
from research.data.sources.files import open_bytes
from research.data.sources.markdown import plain_text
from research.errors import UserError


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    with open_bytes(shared / "reddit" / "comments.ndjson.zst") as stream:
        return [json.loads(line) for line in stream][:4000]


@pytest.fixture(scope="module")
def comments(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 4,000 comments, compressed as the dumps are."""
    path = tmp_path_factory.mktemp("reddit") / "RC.zst.ndjson.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(data))
    return path


def test_real_comments(comments: Path, rows: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        records = list(Reddit(str(comments)))
    bots = [row["id"] for row in rows if re.search(r"\b[Ii]('m| am)\W+a\W+bot\b", row["body"])]
    kept = {record["meta"]["id"]: record for record in records}
    assert bots and kept.keys().isdisjoint(bots)
    assert f"{comments}: passed over: {len(bots)} of bots" in caplog.messages
    counted = sum(int(re.search(r"passed over: (\d+) ", message)[1]) for message in caplog.messages)
    assert len(records) + counted == len(rows)
    for number, row in enumerate(rows, 1):
        if record := kept.get(row["id"]):
            assert record["where"] == f"{comments}:{number}"
            assert record["meta"] == {name: value for name, value in row.items() if name != "body"}
            if re.fullmatch(r"[\w ,.'?!]+", row["body"]) and not re.match(r"\d+\.", row["body"]):
                assert record["text"].split() == row["body"].split()


def test_words_are_those_of_the_rendered_comment(rows: list[dict[str, Any]]) -> None:
    """For comments without what Reddit reads otherwise than CommonMark: quotes, superscripts, headings."""
    render = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render
    compared = 0
    for row in rows:
        body = html.unescape(row["body"])
        if not re.search(r"[>^]|^#|!\[|^\s*\d+[.)]", body, re.MULTILINE) and re.search(r"[*\[_~`|\\]", body):
            page = re.sub(r"(</(?:p|li|td|th|h\d)>|<br)", r"\n\1", render(body))
            assert plain_text(row["body"]).split() == fromstring(f"<div>{page}</div>").text_content().split()
            compared += 1
    assert compared > 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("a **b** *c* __d__ _e_ ~~f~~ `g*`", "a b c d e f g*"),
        ("[his page](http://x.y/z_(a)) and http://x.y", "his page and http://x.y"),
        ("&gt; said you\n\nsaid I\n&gt;&gt; said he", "said I"),
        ("&gt; said you\nsaid I", "said I"),
        ("&gt;!the end!&lt; is a spoiler", "the end is a spoiler"),
        ("tea &amp;amp; &amp;lt;b&amp;gt; &amp; x &lt; y", "tea & <b> & x < y"),
        ("#Big\n\n## small", "Big\n\nsmall"),
        ("- a\n- b\n\nc", "a\nb\n\nc"),
        ("1999. What a year", "1999. What a year"),
        ("2. b\n3. c", "2. b\n3. c"),
        ("a|b\n-|-\n*1*|2", "a b\n1 2"),
        ("x\n\n    code *is* kept\n\ny", "x\n\ncode *is* kept\n\ny"),
        ("one\ntwo  \nthree\n\n---\n\nfour", "one\ntwo\nthree\n\nfour"),
        ("^^so ^^small ^(as this) but 2^10 :^)", "so small as this but 2^10 :^)"),
        (r"¯\\\_(ツ)_/¯ \*no\*", "¯\\_(ツ)_/¯ *no*"),
        ("&amp;#x200B;", ""),
        ("[](#terror)", ""),
        ("**很快**，[好吃](http://x.y)", "很快，好吃"),
    ],
)
def test_markdown(body: str, text: str) -> None:
    assert plain_text(body) == text


def written(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "a.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"body": "[deleted]"}, "deleted or removed"),
        ({"body": "[removed]", "author": "[deleted]"}, "deleted or removed"),
        ({"body": "[ Removed by Reddit ]"}, "deleted or removed"),
        ({"title": "Look", "selftext": "[removed]"}, "deleted or removed"),
        ({"body": "Read the rules.", "author": "AutoModerator"}, "of bots"),
        ({"body": "I will remind you", "author": "RemindMeBot"}, "of bots"),
        ({"body": "Here is a mirror", "author": "vid_bot_2"}, "of bots"),
        ({"body": "^^I'm ^^a ^^bot", "author": "x"}, "of bots"),
        ({"body": "Done. *I am a bot*, and this was automatic", "author": "x"}, "of bots"),
        ({"body": "&gt; all of it is a quote"}, "without words of their own"),
    ],
)
def test_passed_over(tmp_path: Path, row: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, row, {"body": "said by a person"})
    with caplog.at_level(logging.INFO):
        assert [record["text"] for record in Reddit(path)] == ["said by a person"]
    assert caplog.messages == [f"{path}: passed over: 1 {reason}"]


@pytest.mark.parametrize(
    "row",
    [
        {"body": "the text was [removed] by them"},
        {"body": "still here", "author": "[deleted]"},
        {"body": "prayer", "author": "TheAbbot"},
        {"body": "football", "author": "mr_talbot"},
        {"body": "pow", "author": "botany_fan"},
        {"body": "I'm a bot lane main"},
        {"body": "&gt; I am a bot\n\nare you?"},
    ],
)
def test_not_passed_over(tmp_path: Path, row: dict[str, Any]) -> None:
    assert len(list(Reddit(written(tmp_path, row)))) == 1


def test_thread_fields_and_submissions(tmp_path: Path) -> None:
    thread = {
        **{"id": "c1", "parent_id": "t1_c0", "link_id": "t3_s1", "subreddit": "nba", "score": -4},
        **{"created_utc": "1567296000", "author": "user_1"},
    }
    rows = [{**thread, "body": "no", "edited": False}, {"id": "s1", "title": "A &amp; B", "selftext": "*so*"}]
    rows.append({"id": "s2", "title": "a link", "selftext": "", "score": None})
    path = written(tmp_path, *rows)
    assert list(Reddit(path)) == [
        {"text": "no", "where": f"{path}:1", "meta": thread},
        {"text": "A & B\n\nso", "where": f"{path}:2", "meta": {"id": "s1"}},
        {"text": "a link", "where": f"{path}:3", "meta": {"id": "s2"}},
    ]


def test_filters(comments: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    found = {record["meta"]["subreddit"] for record in Reddit(str(comments), subreddits=["NBA", "overwatch"])}
    assert found == {"nba", "Overwatch"}
    scored = written(tmp_path, *({"body": f"text {score}", "score": score} for score in (-3, 0, 1, 7)))
    assert [record["meta"]["score"] for record in Reddit(scored, min_score=1)] == [1, 7]
    assert list(Reddit(scored, subreddits=["nba"])) == []  # a file of which nothing is wanted is no error
    with pytest.raises(UserError, match=r"^subreddits: the list is empty"):
        Reddit(scored, subreddits=[])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "a"}, "body must be a string, not null"),
        ({"body": ["a"], "score": 1}, "body must be a string, not list"),
        ({"body": "a"}, "no score, which `min_score` asks for"),
        ({"body": "a", "score": "high"}, "no score, which `min_score` asks for"),
        ({"body": "a", "score": 10**25}, "score is a number of more than 64 bits"),
        ({"body": "a\ud83d", "score": 1}, "body holds half a surrogate pair"),
        ({"body": "a", "score": 1, "author": "\udfff"}, "author holds half a surrogate pair"),
    ],
)
def test_bad_comment(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    path = written(tmp_path, {"body": "fine", "score": 1}, {"score": 1, **row} if "text" in row else row)
    with pytest.raises(UserError, match=rf"^{re.escape(path)}:2: .*{told}"):
        list(Reddit(path, min_score=0))
    assert [record["text"] for record in Reddit(path, min_score=0, max_bad=1)] == ["fine"]
