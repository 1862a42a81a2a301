"""What a model can do before it is trained further: one figure, on texts of its own."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from research.data.cache import key
from research.data.sources import Sample, Source
from research.errors import UserError

if TYPE_CHECKING:
    from research.models.student import Student


class Ability(ABC):
    """Subclasses measure a student as it stands, without a head that training adds; equal students, equal figures.

    Args:
        source: texts to measure on, which training should not read.
        count: how many of its records at most, which bounds the cost; see :class:`research.data.sources.Sample`.
        max_length: tokens of a text that are read, special ones included, at least 8.
    """

    def __init__(self, source: Source, count: int = 200, max_length: int = 128) -> None:
        if max_length < 8:
            raise UserError(f"{type(self).__name__}: max_length is {max_length}; it must be at least 8")
        self.sample, self.max_length = Sample(source, count), max_length

    @abstractmethod
    def measure(self, student: "Student") -> float:
        """The figure of a built student in eval mode."""

    def check(self, name: str, student: "Student") -> None:
        """Refuse a student that cannot be measured so; loads no weights.

        Raises:
            UserError: naming the ability.
        """
        if student.max_length is not None and self.max_length > student.max_length:
            raise UserError(
                f"abilities.{name}: max_length is {self.max_length}; the student takes {student.max_length} tokens"
            )

    def fingerprint(self) -> str:
        """A digest of all that decides the figure but the student."""
        return key(type(self).__name__, self.sample.fingerprint(), self.max_length)
