"""What a linear classifier reads from embeddings for a task that is not trained."""

from typing import TYPE_CHECKING

from research.data.cache import key
from research.data.sources import Sample, Source
from research.errors import UserError
from research.evaluation.abilities.ability import Ability
from research.evaluation.probe import probe

if TYPE_CHECKING:
    from research.models.student import Student


class LinearProbe(Ability):
    """Accuracy of :func:`research.evaluation.probe.probe`, in [0, 1], fitted anew on each student. For any student.

    Args:
        source: labelled texts to fit on, which training should not read.
        test: labelled texts to measure on.
        count: how many records of each at most; see :class:`research.data.sources.Sample`.
        max_length: as for every ability.
        c: inverse strength of the L2 penalty, above 0.
    """

    def __init__(self, source: Source, test: Source, count: int = 200, max_length: int = 128, c: float = 0.1) -> None:
        super().__init__(source, count, max_length)
        if c <= 0:
            raise UserError(f"LinearProbe: c is {c}; it must be above 0")
        self.test, self.c = Sample(test, count), c

    def measure(self, student: "Student") -> float:
        return probe(student, self.sample, self.test, self.c, self.max_length)

    def fingerprint(self) -> str:
        return key(super().fingerprint(), self.test.fingerprint(), self.c)
