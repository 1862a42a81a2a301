"""Requests that no server should take, of many kinds, drawn by a seed."""

import json
import random
from collections.abc import Callable
from typing import Any

ROUTES = {
    "/predict": {"texts": ["where is my card", {"text": "a", "text_pair": "b"}], "task": "intents", "top": 2},
    "/embed": {"texts": ["where is my card"]},
    "/score": {"pairs": [{"text": "a", "text_pair": "b"}]},
    "/explain": {"text": "where is my card", "neighbours": 2},
    "/v1/chat/completions": {"model": "intents", "messages": [{"role": "user", "content": "where"}]},
}
NEEDED = {
    "/predict": "texts",
    "/embed": "texts",
    "/score": "pairs",
    "/explain": "text",
    "/v1/chat/completions": "messages",
}
WRONG: list[Any] = [
    None,
    True,
    -1,
    1.5,
    [],
    {},
    [[]],
    {"text": None},
    "",
    " \n",
    "\x00",
    "a\x1b[2Jb",
    "x" * 20_001,
    [None],
    10**30,
]

Request = tuple[str, str, dict[str, str], bytes]
"""Method, path, headers, body."""


def request(draw: random.Random, token: str) -> Request:
    """One of them; what is right about it is drawn too."""
    path, kind = draw.choice(list(ROUTES)), draw.choice(KINDS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return kind(draw, path, headers)


def torn(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    body = json.dumps(ROUTES[path]).encode()
    return "POST", path, headers, body[: draw.randrange(len(body))]


def noise(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    return "POST", path, headers, b"\xff" + draw.randbytes(draw.randrange(300))


def not_utf8(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    body = bytearray(json.dumps(ROUTES[path]).encode())
    body[draw.randrange(len(body))] = draw.randrange(0x80, 0x100)
    return "POST", path, headers, bytes(body)


def wrong_value(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    return "POST", path, headers, json.dumps({**ROUTES[path], NEEDED[path]: draw.choice(WRONG)}).encode()


def missing(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    body = {key: value for key, value in ROUTES[path].items() if key != NEEDED[path]}
    return "POST", path, headers, json.dumps(body).encode()


def unknown_key(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    key = draw.choice(["__class__", "\ud800", "", "x" * 1000, "Text"])
    return "POST", path, headers, json.dumps({**ROUTES[path], key: 1}).encode()


def half_a_pair(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    return "POST", path, headers, json.dumps(ROUTES[path]).replace("a", r"\ud83d").encode()


def deep(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    opening = draw.choice(["[", '{"texts":', '{"text":['])
    return "POST", path, headers, (opening * draw.randrange(1000, 9000)).encode()


def huge(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    return "POST", path, headers, json.dumps({NEEDED[path]: "long " * 30_000}).encode()


def other_value(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    return (
        "POST",
        path,
        headers,
        draw.choice([b"null", b"0", b'""', b"[]", b"NaN", b"Infinity", b"-", b"", b"1e999", b"9" * 5000]),
    )


def no_json(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    kind = draw.choice(
        ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "", "\x7f", "application/"]
    )
    return "POST", path, {**headers, "Content-Type": kind}, json.dumps(ROUTES[path]).encode()


def wrong_token(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    given = draw.choice(["Bearer", "Bearer wrong", "Basic YTpi", "Bearer " + "x" * 5000, "é", "", "Bearer \xff\xfe"])
    return "POST", path, {**headers, "Authorization": given}, json.dumps(ROUTES[path]).encode()


def elsewhere(draw: random.Random, path: str, headers: dict[str, str]) -> Request:
    method = draw.choice(["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    other = draw.choice([path, "/predict/../x", "/%00", "/predict/1", "/" + "a" * 3000, "/etc/passwd", "/../../x"])
    return method, other, headers, b""


KINDS: list[Callable[[random.Random, str, dict[str, str]], Request]] = [
    torn, noise, not_utf8, wrong_value, missing, unknown_key, half_a_pair, deep, huge, other_value, no_json,
    wrong_token, elsewhere,
]  # fmt: skip

RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # TLS
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",  # and then nothing
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"POST /predict HTTP/9.9\r\n\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    b"\x00" * 1000,
    b"GET /health HTTP/1.1\r\nHost: a\r\n",  # no end
]
"""What no client would send, for a socket."""
