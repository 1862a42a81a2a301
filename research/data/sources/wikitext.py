"""From MediaWiki markup to the text that a reader sees.

Where a construct is closed and holds nothing nested, one expression resolves it; taking the innermost first, nested
ones become such. Each expression is linear in the text. What remains, unbalanced or rare, goes line by line through
mwparserfromhell, for which whole pages would take ten times as long.
"""

import html
import re
from collections.abc import Collection

HIDDEN = ("file", "image", "media", "category")  # every wiki knows these names beside its own
MARKS = 60  # in a line; the parser's time grows with their square, and it nests as deep as they do
PROSE = 7  # below headings of every level
DEPTH = 40  # of templates and links in each other; MediaWiki gives up at this depth too

OPENING = re.compile(
    r"<!--|<(ref|nowiki|pre|math|ce|chem|gallery|score|timeline|graph|hiero|imagemap|inputbox|categorytree|mapframe"
    r"|maplink|templatedata|templatestyles|source|syntaxhighlight|section|indicator)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
TEMPLATE = re.compile(r"\{\{([^{}]*(?:(?:\{(?!\{)|\}(?!\}))[^{}]*)*)\}\}")
LINK = re.compile(r"\[\[([^\[\]{}|\n]*)(?:\|([^\[\]{}]*(?:\[(?!\[)[^\[\]{}]*\](?!\])[^\[\]{}]*)*))?\]\]")
TABLE = re.compile(r"\n[ \t:*#]*(?:(\{\|)|\|\}(?!\}))")
VARIANT = re.compile(r"-\{(?:([^{}|:;]*)\|)?([^{}]*)\}-")
SWITCH = re.compile(r"__[A-Z]+__")
BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(
    r"</?(?:abbr|b|bdi|bdo|big|blockquote|caption|center|cite|code|dd|del|dfn|div|dl|dt|em|font|h[1-6]|hr|i|includeonly"
    r"|ins|kbd|li|mark|noinclude|nowiki|ol|onlyinclude|p|poem|pre|q|rb|ref|references|rp|rt|ruby|s|samp|small|span"
    r"|strike|strong|sub|sup|table|td|th|time|tr|tt|u|ul|var|wbr)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
MEDIA = re.compile(
    r"\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|webm|mp[34]|wav|flac|midi?|pdf|djvu|stl)\s*$", re.IGNORECASE
)
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?|simple")
HEADING = re.compile(r"(={1,6})(.+?)\1\s*")
EMPTY = re.compile(r" ?[(（][\s,;:，；：、]*[)）]")
BEGUN = re.compile(r"([(（])[\s,;，；、]+")
WORD = re.compile(r"\w")
VERBATIM = {ord(mark): f"&#{ord(mark)};" for mark in "[]{}<>|'=*:_-"}

# Templates that are a part of the sentence: what they stand for, or which of their arguments is read.
SIGNS = {"ndash": "–", "snd": " – ", "spaced ndash": " – ", "mdash": "—", "nbsp": " ", "·": " · ", "!": "|"}
READ = dict.fromkeys(
    ("nowrap", "small", "smaller", "nihongo", "angbr", "quote", "sub", "sup", "math", "mvar", "abbr", "flag"), 0
) | {"lang": 1, "transl": -1, "transliteration": -1}
RANGES = ("to", "-", "–", "and", "or", "x", "by", "+/-", "±")

_DISAMBIGUATIONS = (
    r"disamb|dab|hndis|geodis|begriffsklärung|homonymie|desambig\w{0,20}|dezambiguizare|ujednoznacznienie|förgrening"
    "|gren|rozcestník|peker|flertydig|täsmennyssivu|egyért|anlam ayrımı|trang định hướng|αποσαφήνιση|неоднозначность"
    "|многозначность|багатозначність|פירושונים|توضيح|ابهام‌زدایی|消歧[义義]|曖昧さ回避|aimai|동음이의"
)
DISAMBIGUATION = re.compile(
    rf"__DISAMBIG__|\{{\{{\s*(?:[^{{}}|\n]{{0,60}}?disambig\w{{0,20}}(?: cleanup)?|{_DISAMBIGUATIONS})\s*[|}}]",
    re.IGNORECASE,
)


def is_disambiguation(markup: str) -> bool:
    """Whether a page lists the meanings of its title, by the magic word or the templates of some twenty languages."""
    return DISAMBIGUATION.search(markup) is not None


def to_text(markup: str, hidden: Collection[str] = HIDDEN) -> str:
    """The prose of a page: one line for each paragraph, list item and heading.

    Templates, tables, references, comments, formulas, galleries, code, files and categories are left out; links give
    the words they show. Headings that nothing follows are dropped.

    Args:
        hidden: prefixes of links that show nothing, in lower case: the wiki's names for files and categories.
    """
    text = VARIANT.sub(_variant, _without_elements(markup))
    for _ in range(DEPTH):
        before = text
        if "[[" in text:
            text = LINK.sub(lambda link: _shown(link[1], link[2], hidden), text)
        if "{{" in text:
            text = TEMPLATE.sub(_template, text)
        if text == before:
            break
    text = _without_tables("\n" + text)
    for style in ("'''''", "'''", "''"):
        text = text.replace(style, "")
    text = SWITCH.sub("", text)
    text = TAG.sub("", BREAK.sub("\n", text).replace("<sup>", "^"))
    return "\n".join(_lines(text, hidden))


def _without_elements(markup: str) -> str:
    """Without comments and the elements whose content is no wikitext; what is quoted verbatim is escaped."""
    kept, done, position = list[str](), 0, 0
    unclosed = set[str]()
    while opening := OPENING.search(markup, position):
        name = (opening[1] or "-->").lower()
        position = opening.end()
        if name in unclosed:
            continue
        end = position
        if name == "-->":
            end = markup.find("-->", position) + 3
            end = end if end > 2 else len(markup)
        elif markup[position - 2] != "/":
            closing = _closing(name).search(markup, position)
            if closing is None:
                unclosed.add(name)  # nor will a later one be closed
                continue
            end = closing.end()
            if name in ("nowiki", "pre"):
                kept += markup[done : opening.start()], markup[position : closing.start()].translate(VERBATIM)
                done = end
        kept.append(markup[done : opening.start()])
        done = position = end
    kept.append(markup[done:])
    return "".join(kept)


def _closing(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)  # `re` keeps the compiled ones


def _shown(target: str, text: str | None, hidden: Collection[str]) -> str:
    """What a link to `target` shows: `text` where it has one, and nothing for files, categories, other languages."""
    prefix, colon, rest = target.partition(":")
    prefix = prefix.strip().replace("_", " ").lower()
    if not colon:
        return text or target
    if not prefix:
        return text or rest
    if prefix in hidden or MEDIA.search(rest):
        return ""
    return text or ("" if LANGUAGE.fullmatch(prefix) else target)


def _template(match: re.Match[str]) -> str:
    name, *arguments = match[1].split("|")
    name = name.strip().lower()
    if name in SIGNS:
        return SIGNS[name]
    if name in ("convert", "cvt"):
        return " ".join(arguments[: 4 if arguments[1:2] and arguments[1].strip() in RANGES else 2])
    if name in READ or name.startswith("lang-"):
        plain = [argument for argument in arguments if "=" not in argument]
        return "".join(plain[READ.get(name, 0) :][:1]).strip()
    return ""


def _variant(match: re.Match[str]) -> str:
    """The first form that `-{zh-hans:..; zh-hant:..}-` offers; flags other than A declare a form and show none."""
    flag, forms = match.groups()
    if flag is not None and flag.strip() not in ("", "A", "R"):
        return ""
    return re.sub(r"^\s*zh(?:-\w+)*:", "", forms.split(";")[0]).strip()


def _without_tables(text: str) -> str:
    kept, depth, done = list[str](), 0, 0
    for match in TABLE.finditer(text):
        if match[1]:
            if not depth:
                kept.append(text[done : match.start()])
                done = match.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                done = match.end()
    return "".join([*kept, text[done:]])  # rows of a table that is never closed are known by their first sign


def _lines(text: str, hidden: Collection[str]) -> list[str]:
    """The lines that hold words, in their order, without the marks of lists, headings and what is left of cells."""
    found, following = list[str](), 0
    for line in reversed(text.split("\n")):
        line, level = line.strip(), PROSE
        if not line or line[0] in "|!" or line.startswith(("{|", "{{", "}}")):
            continue
        if 0 < line.count("[") + line.count("<") + line.count("{{") <= MARKS:
            line = _parsed(line, hidden)
        if line[:1] == "=" and (heading := HEADING.fullmatch(line)):
            line, level = heading[2], len(heading[1])
        elif line[:1] in ("*", "#", ":", ";"):
            line = line.lstrip("*#:; ")
        if "&" in line:
            line = html.unescape(line)
        if "(" in line or "（" in line:
            line = BEGUN.sub(r"\1", EMPTY.sub("", line))
        if WORD.search(line) and (level == PROSE or level < following):
            found.append(" ".join(line.split()))
            following = level
    return found[::-1]


def _parsed(line: str, hidden: Collection[str]) -> str:
    import mwparserfromhell

    code = mwparserfromhell.parse(line, skip_style_tags=True)
    for link in code.filter_wikilinks(recursive=False):
        if not _shown(str(link.title), "thumb", hidden):
            code.remove(link)
    return str(code.strip_code(normalize=False, collapse=False))
