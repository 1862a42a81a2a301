"""One text of a record that has several."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from research.data.batch import Example, Row
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


@dataclass(frozen=True)
class OneText(View):
    """One field of a pair or triplet, framed on its own.

    ``dropout_pass`` tells apart forwards that differ in their dropout mask only.
    """

    field: Literal["text", "text_pair", "target"]
    dropout_pass: int = 0

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        fields = {"text": example.first, "text_pair": example.second, "target": example.target}
        if (ids := fields[self.field]) is None:
            raise UserError(f"the view OneText needs records with {self.field}; name its column in the source")
        return family.frame(Example(ids), vocabulary)

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, problem == "pair", "a stream of problem pair")
