"""What all ways to make a backbone smaller have in common."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from research.models.families import Family


class Compression(ABC):
    """One way to make a backbone smaller: ``model.student.compression`` lists some, which are applied in their order.

    What a method replaces depends on its settings and on the shapes of the model alone, so that a checkpoint is loaded
    into the same method applied to random weights.
    """

    lasts: ClassVar[bool] = True
    """Whether trained weights need it still; otherwise it is about training alone, and ``compress`` leaves it out."""

    @abstractmethod
    def apply(self, model: Any, family: "Family") -> None:
        """Change a loaded language model in place; new weights are made of those that it has.

        Raises:
            UserError: for settings that do not fit the model.
        """
