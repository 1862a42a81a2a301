"""Items made ahead: one at most, in their order, and what fails comes in its place."""

import threading
import time
from collections.abc import Iterator
from itertools import count, islice

import pytest

from research.data.ahead import ahead


def until(condition: object) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.001)
    assert condition()  # type: ignore[operator]


def test_one_item_ahead_and_no_more() -> None:
    made, before = list[int](), threading.active_count()

    def numbers() -> Iterator[int]:
        for i in count():
            made.append(i)
            yield i

    items = ahead(numbers())
    assert made == []
    for i in range(5):
        assert next(items) == i
        until(lambda i=i: len(made) == i + 2)
        time.sleep(0.01)
        assert len(made) == i + 2, "the next one is made, and the one after it is not"
    del items
    until(lambda: threading.active_count() == before)


def test_making_and_using_go_on_at_once() -> None:
    def slow() -> Iterator[int]:
        for i in count():
            time.sleep(0.05)
            yield i

    start = time.monotonic()
    for _ in islice(ahead(slow()), 10):
        time.sleep(0.05)
    assert time.monotonic() - start < 0.8, "one after the other takes a second"


def test_an_error_comes_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)
