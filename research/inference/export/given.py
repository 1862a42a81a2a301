"""What is exported, and whether what was written answers as the student does."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from research.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from research.data.stream import StreamInfo
    from research.inference.model import Model
    from research.models.student import Student

LONGEST = 64  # tokens of the random texts that answers are compared on, at most


@dataclass(frozen=True)
class Given:
    """A model, and the task whose answers are wanted; none for the language model or the embedding."""

    model: "Model"
    task: str | None

    @property
    def student(self) -> "Student":
        return self.model.student

    @property
    def info(self) -> "StreamInfo | None":
        return None if self.task is None else self.model.tasks[self.task]

    @property
    def head(self) -> "nn.Linear | None":
        """The linear map (C, H) of the task, or none where it writes or there is no task."""
        if self.task is None or self.model.tasks[self.task].problem == "generate":
            return None
        if self.task in self.model.deciding:
            kind = type(self.model.deciding[self.task]).__name__
            raise UserError(f"--task {self.task}: {kind} tells its classes, and no head; --task none leaves it out")
        head: Any = self.student.heads[self.task]
        return head.linear

    @property
    def max_length(self) -> int | None:
        """The most tokens of a text, special ones included: of the task, or as the student takes them."""
        return self.student.max_length if self.info is None else self.info.max_length or self.student.max_length

    @property
    def in_units(self) -> tuple[float, float]:
        """What is added to logits, and multiplied with before, to give a regression the unit of its labels."""
        assert self.info is not None
        return self.info.scale if self.info.problem == "regress" else (0.0, 1.0)

    def batches(self) -> list[list[dict[str, str]]]:
        """Texts of random tokens and lengths in batches of several sizes, the first the longest; the last are pairs."""
        rng, vocabulary = np.random.default_rng(0), self.student.vocabulary
        usual = np.flatnonzero(~vocabulary.special)

        def text(most: int) -> str:
            return str(self.student.tokenizer.decode(rng.choice(usual, rng.integers(1, most))))

        most = min(LONGEST, self.max_length or LONGEST)
        long = str(self.student.tokenizer.decode(rng.choice(usual, most)))
        pairs = [{"text": text(most // 3), "text_pair": text(most // 3)} for _ in range(4)]
        return [[{"text": long}], *([{"text": text(most)} for _ in range(n)] for n in (2, 13, 4)), pairs]

    def compared(self, run: Callable[[list[str], list[str] | None], Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """What the student says of random texts and pairs, and what ``run`` says of each batch of them.

        Logits (N, C), of a regression in the unit of its labels, or embeddings (N, H).
        """
        batches, theirs = self.batches(), list[Tensor]()
        for batch in batches:
            seconds = [record["text_pair"] for record in batch] if "text_pair" in batch[0] else None
            theirs.append(run([record["text"] for record in batch], seconds))
        records = list(chain.from_iterable(batches))
        if self.head is None:
            ours = self.model.embed(records)
        else:
            mean, deviation = self.in_units
            ours = self.model.logits(records, self.task) * deviation + mean
        return ours, torch.cat(theirs).float().numpy()


@dataclass(frozen=True)
class Use:
    """How what was written is used, for its card: the library and pipeline by the hub's names, and lines of code."""

    library: str
    pipeline: str | None
    code: str
    checked: str
    limits: str = ""


def agreement(form: str, what: str, ours: ArrayLike, theirs: ArrayLike, within: float) -> str:
    """A sentence that says how far two arrays of one shape are apart.

    Raises:
        UserError: if it is further than ``within``.
    """
    apart = float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max())
    if not apart <= within:
        far = f"differ from the student's by {apart:.2g}, above {within:g}"
        raise UserError(f"--format {form}: {what} {far}; nothing is written")
    return f"{what} differ from the student's by {apart:.1g} at most"
