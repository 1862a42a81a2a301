"""Sizes as people write them: 80GB, 24GiB, 989T, 3.5e12."""

import re

from research.errors import UserError

UNITS = {"": 1, **{unit: 1000 ** (i + 1) for i, unit in enumerate("KMGTP")}}
BINARY = {f"{unit}i": 1024 ** (i + 1) for i, unit in enumerate("KMGTP")}
WRITTEN = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([KMGTP]?i?)(?:B|FLOPS|FLOP/s|B/s)?", re.IGNORECASE)


def number(key: str, text: str) -> float:
    """A number above 0 with a prefix: K, M, G, T, P in powers of 1000, Ki to Pi in powers of 1024.

    Raises:
        UserError: naming the option ``key``.
    """
    match = WRITTEN.fullmatch(text.strip())
    unit = "" if match is None else match[2][:1].upper() + match[2][1:].lower()
    try:
        value = float(match[1]) * {**UNITS, **BINARY}[unit] if match else 0.0
    except (KeyError, ValueError):
        value = 0.0
    if not value > 0:
        raise UserError(f"{key} is {text}; give a number above 0, such as 80GB, 24GiB or 312T")
    return value


def shown(value: float, unit: str = "") -> str:
    """Three digits and a prefix in powers of 1000: ``1.23 G`` and the unit."""
    for prefix, size in reversed(UNITS.items()):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, whichever is told in few digits."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.3g} seconds"
