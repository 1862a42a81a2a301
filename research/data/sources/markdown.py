"""Reddit's markdown as the text that its readers see."""

import html
import re
from functools import lru_cache
from typing import Any

from research.errors import UserError

SPOILER = re.compile(r">!(.*?)!<", re.DOTALL)
QUOTE = re.compile(r"^ {0,3}>.*$", re.MULTILINE)
SUPERSCRIPT = re.compile(r"(?<![\w\\])\^+(?:\(([^()\n]*)\)|(?=\w))")
HEADING = re.compile(r"^(#{1,6})(?=[^\s#])", re.MULTILINE)  # Reddit asks for no space after the marks
SPACES = re.compile(r"[ \t\u200b]+$", re.MULTILINE)
LINES = re.compile(r"\n{3,}")

ENDS = {
    "paragraph_close": "\n\n",
    "heading_close": "\n\n",
    "table_close": "\n",
    "bullet_list_close": "\n",
    "ordered_list_close": "\n",
    "tr_close": "\n",
    "td_close": " ",
    "th_close": " ",
}
BREAKS = {"softbreak": "\n", "hardbreak": "\n"}


def plain_text(body: str) -> str:
    """The words of a comment: links by their text, tables by their cells, without marks, entities and quoted lines.

    `body` may be escaped as in the API's answers (`&gt;`). Bare addresses stay, as they are what is seen.
    """
    text = html.unescape(body)
    text = QUOTE.sub("", SPOILER.sub(r"\1", text))
    text = HEADING.sub(r"\1 ", SUPERSCRIPT.sub(lambda found: found[1] or "", text))
    parts = []
    for token in _parser().parse(text):
        match token.type:
            case "inline":
                parts += [BREAKS.get(child.type, child.content) for child in token.children or ()]
            case "code_block" | "fence":
                parts.append(token.content + "\n")
            case "list_item_open" if token.info:
                parts.append(f"{token.info}{token.markup} ")  # "1999. What a year" is a list of one to markdown
            case "paragraph_close" if token.hidden:  # in a list without blank lines
                parts.append("\n")
            case _:
                parts.append(ENDS.get(token.type, ""))
    return LINES.sub("\n\n", SPACES.sub("", "".join(parts))).strip()


@lru_cache(maxsize=1)
def _parser() -> Any:
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise UserError("Reddit needs the extra: pip install 'hybrid-fine-tuning[reddit]'") from None
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
