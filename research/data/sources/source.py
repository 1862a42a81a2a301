"""What every source is: an iterable of records that can say what its content is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import NotRequired, Self, TypedDict


class Record(TypedDict):
    """One raw example.

    `text`, `text_pair` (the second sentence of a pair) and `target` (the text to generate) are strings.
    `label` is a string, a float, or a list of strings where one example bears several.
    `origin` is the :func:`identity` of the record that this one was made from; the two are held out together.
    `where` says where the example stands, `file:line`, for messages to people.
    `meta` is what else the source knows, such as a title, an address or a date; training does not read it.
    """

    text: str
    text_pair: NotRequired[str]
    label: NotRequired[str | float | list[str]]
    target: NotRequired[str]
    origin: NotRequired[str]
    where: str
    meta: NotRequired[dict[str, str | int | float | None]]


def identity(record: Record) -> str:
    """What decides the split that a record falls into: its text and pair, or its origin's."""
    return record.get("origin") or record["text"] + "\n" + (record.get("text_pair") or "")


class Source(ABC):
    """Raw records from a file, a package or a hub. Each iteration starts anew and yields the same records.

    Constructing a source touches no data; iterating raises `UserError` where the data are missing or broken.
    """

    @abstractmethod
    def __iter__(self) -> Iterator[Record]: ...

    def parts(self) -> list[Self]:
        """Sources that together yield the same records in the same order, each readable by a process of its own."""
        return [self]

    def after(self, count: int) -> Iterator[Record]:
        """The records without the first ``count``, which are read only where there is no way round them."""
        return islice(self, count, None)

    def size(self) -> int:
        """Bytes of the data as they are stored, or 0 where that is not known."""
        return 0

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of the content, and of the settings that shape it: it changes when the records would."""
