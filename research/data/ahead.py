"""The next item of an iterator while the last one is in use."""

from collections.abc import Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items of an iterator without end, each made by a thread while its user has the one before it.

    At most one is ready that nobody has asked for. What ``items`` raises comes in the place of an item. The thread
    ends with the program, or once nobody reads on.
    """
    asked, made = SimpleQueue[bool](), SimpleQueue[Future[Item]]()

    def work() -> None:
        while asked.get():
            item = Future[Item]()
            try:
                item.set_result(next(items))
            except BaseException as error:
                item.set_exception(error)
            made.put(item)

    Thread(target=work, daemon=True).start()
    asked.put(True)
    try:
        while True:
            item = made.get().result()
            asked.put(True)
            yield item
    finally:
        asked.put(False)
