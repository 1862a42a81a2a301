"""Seeded damage to real bytes, for the tests that no parser may crash on."""

import random
from collections.abc import Iterator, Sequence

# What upsets parsers: ends, quotes, brackets, bytes of no encoding, half characters, numbers too large.
TOKENS = (
    *(b"\0", b"\n", b"\r\n\r\n", b'"', b"'", b"{", b"}", b"[", b"]]", b"<", b">", b"</", b"&#x110000;", b"&"),
    *(b"\\", b"\\ud83d", b"\xff", b"\xc3", b"\xe6\x96", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8"),
    *(b"-1", b"9" * 25, b"1e999", b"NaN", b"null", b"{{", b"}}", b"[[", b"{|", b"|}", b"<!--", b"-->", b"\t", b","),
)


def mutants(records: Sequence[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged records: each one of `records` in turn, with one to four wounds. The same for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        data = records[number % len(records)]
        for _ in range(rng.randint(1, 4)):
            data = _wound(data, rng)
        yield data


def _wound(data: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, len(data))
    stop = min(len(data), start + int(rng.paretovariate(0.5)))  # mostly a few bytes, sometimes all that follow
    span = data[start:stop]
    match rng.randrange(7):
        case 0:  # lost
            span = b""
        case 1:  # said twice, or very often
            span *= rng.choice((2, 2, 3, 2 + 2000 // (len(span) + 1)))
        case 2:  # overwritten
            span = rng.randbytes(len(span))
        case 3:  # one bit turned
            span = bytes(byte ^ 1 << rng.randrange(8) if i == 0 else byte for i, byte in enumerate(span))
        case 4:  # interrupted
            span = rng.choice(TOKENS) + span
        case 5:  # replaced
            span = rng.choice(TOKENS)
        case 6:  # cut off
            return data[:start]
    return data[:start] + span + data[stop:]
