"""Reddit's comments and submissions as Pushshift publishes them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from research.data.sources.fields import checked_text
from research.data.sources.files import FileSource
from research.data.sources.json_lines import objects
from research.data.sources.markdown import plain_text
from research.data.sources.source import Record
from research.errors import UserError

THREAD = ("id", "parent_id", "link_id", "subreddit", "score", "created_utc", "author")
GONE = re.compile(r"\s*\[ ?(?:deleted|removed)\b[^\]]*\]\s*", re.IGNORECASE)
# Robots, but neither an abbot, a Talbot nor a fan of Mr Robot.
BOT_NAME = re.compile(r".*(?<!ab)(?<!al)(?<!ro)bot[\d_-]*|automoderator", re.IGNORECASE)
BOT_TEXT = re.compile(r"\bi(?: am|['’]m) a bot\b(?! lane)", re.IGNORECASE)


class Reddit(FileSource):
    """A record for each comment, or each submission (title and text), of one JSON object a line.

    Markdown becomes plain text, and quotes of others are left out. Passed over, and counted in the log, are what
    was deleted or removed, what bots wrote (by their name or their own word), and what is empty. `subreddits`, in
    any case of letters, and `min_score` say what to keep. `where` is the file and line; `meta` holds what is there of
    `id`, `parent_id`, `link_id`, `subreddit`, `score`, `created_utc` (seconds since 1970) and `author`.

    Needs the extra `reddit`. The dumps: Baumgartner et al. 2020, arXiv:2001.08435.
    """

    endings = (".ndjson", ".jsonl")

    def __init__(
        self,
        paths: str | list[str],
        subreddits: list[str] | None = None,
        min_score: int | None = None,
        max_bad: int = 0,
    ):
        super().__init__(paths, max_bad=max_bad)
        self.subreddits = None if subreddits is None else sorted(name.lower() for name in subreddits)
        self.min_score = min_score
        if subreddits is not None and not subreddits:
            raise UserError("subreddits: the list is empty; name at least one, or leave the setting out")

    def read(self, path: Path) -> Iterator[Record]:
        for where, row in objects(self, path):
            try:
                found = self._found(where, row)
            except UserError as error:
                self.bad(error)
                continue
            if isinstance(found, str):
                self.skip(found)
            else:
                yield found

    def _found(self, where: str, row: dict[str, Any]) -> Record | str:
        """A record, or why it is passed over; `UserError` if it is bad."""
        meta = _thread(row, where)
        if self.subreddits is not None and str(meta.get("subreddit")).lower() not in self.subreddits:
            return "from other subreddits"
        if self.min_score is not None:
            score = meta.get("score")
            if not isinstance(score, int | float):
                raise UserError(f"{where}: no score, which `min_score` asks for")
            if not score >= self.min_score:
                return "of a lower score"
        names = ("title", "selftext") if "title" in row else ("body",)
        parts = [checked_text(row.get(name), name, where) for name in names]
        if any(GONE.fullmatch(part) for part in parts):
            return "deleted or removed"
        text = "\n\n".join(filter(None, map(plain_text, parts)))
        if not text:
            return "without words of their own"
        if BOT_NAME.fullmatch(str(meta.get("author"))) or BOT_TEXT.search(text):
            return "of bots"
        return {"text": text, "where": where, "meta": meta}


def _thread(row: dict[str, Any], where: str) -> dict[str, str | int | float | None]:
    """The fields that place a comment in its thread, as far as they are there."""
    found = {name: row[name] for name in THREAD if isinstance(row.get(name), str | int | float)}
    for name, value in found.items():
        if isinstance(value, str):
            checked_text(value, name, where)
        elif abs(value) >= 2**63:
            raise UserError(f"{where}: {name} is a number of more than 64 bits")
    return found
