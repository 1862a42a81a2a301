"""An objective is one loss on one stream: it declares the views that it reads, then computes from them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor, nn
from torchmetrics import MeanMetric

from research.errors import UserError
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher

ALL_FAMILIES = ("encoder", "decoder", "encoder-decoder")


class Read(Protocol):
    """One pass over a stream's training batches, on the student's device."""

    def __call__(self, stream: str, *views: View) -> "Iterator[Batch]": ...


def check_classes(key: str, task: str, streams: "Mapping[str, StreamInfo]", otherwise: str = "") -> None:
    """Refuse a task that is no stream with classes.

    Raises:
        UserError: naming the key, and what to set ``otherwise``.
    """
    classes = [name for name, info in streams.items() if info.problem == "classify"]
    if task not in classes:
        raise UserError(f"{key}: task '{task}' is no stream with classes; set task to one of {classes}{otherwise}")


class Objective(nn.Module, ABC):
    """Subclasses compute a loss in :meth:`forward` and may say more in the other methods.

    Args:
        stream: the name of the stream in ``data.streams`` that it reads.
    """

    families: ClassVar[tuple[str, ...]] = ALL_FAMILIES
    """The families of students that the objective has a meaning for."""
    problems: ClassVar[tuple[str, ...]] = ("unlabelled", "classify", "multilabel", "regress", "generate", "pair")
    """The kinds of stream that it can read."""
    reads: ClassVar[frozenset[str]] = frozenset()
    """What it reads of the layers of student and teacher: ``hidden``, ``attention``."""

    needs_teacher: ClassVar[bool] = False

    separable: ClassVar[bool] = False
    """Whether the loss of a batch is a mean over its examples, each on its own, with nothing remembered of others.

    DP-SGD asks it. A class says so of itself alone: what derives from it may mix what it does not.
    """

    gathers: ClassVar[bool] = False
    """Whether each process computes the loss of the rows of all of them, by :func:`research.ranks.of_all_ranks`."""

    def __init__(self, stream: str) -> None:
        super().__init__()
        self.stream = stream
        self.mean = MeanMetric()

    def views(self) -> tuple[View, ...]:
        """The views of the stream that it reads."""
        return (Clean(),)

    def taught_views(self) -> tuple[View, ...]:
        """The views of the stream that it reads by the teacher alone."""
        return ()

    def check(
        self, name: str, family: "Family", streams: Mapping[str, "StreamInfo"], teacher: "Teacher | None"
    ) -> None:
        """Refuse what has no meaning, before any weight is loaded.

        Raises:
            UserError: for an unknown stream, or a problem or family that the objective does not serve.
        """
        if self.stream not in streams:
            raise UserError(
                f"model.objectives.{name}: no stream is called '{self.stream}'; data.streams has {', '.join(streams)}"
            )
        if (problem := streams[self.stream].problem) not in self.problems:
            raise UserError(
                f"model.objectives.{name}: {type(self).__name__} reads streams of problem {', '.join(self.problems)}; "
                f"data.streams.{self.stream} is {problem}"
            )
        if family.name not in self.families:
            raise UserError(
                f"model.objectives.{name}: {type(self).__name__} has no meaning for a student of the {family.name} "
                f"family; it serves {', '.join(self.families)}"
            )
        if self.needs_teacher and teacher is None:
            raise UserError(f"model.objectives.{name}: {type(self).__name__} needs model.teacher")

    def due(self, batches: "Mapping[str, Batch | None]") -> bool:
        """Whether it counts in a step of these batches."""
        return batches.get(self.stream) is not None

    def terms(self, batch: "Batch") -> float | Tensor:
        """How many terms the mean of a batch of the stream is of, by which it is weighed among other batches."""
        return len(batch)

    def probes(self) -> tuple[str, ...]:
        """The labelled streams whose classes it asks the teacher for."""
        return ()

    def build(self, student: "Student", streams: Mapping[str, "StreamInfo"]) -> None:
        """Add to the student the head it needs."""

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        """Take what it needs from the student's first weights and the data, once before the first step of a fit.

        A run that goes on from a checkpoint prepares again, before the checkpoint is loaded.
        """

    @abstractmethod
    def forward(self, step: Step) -> Tensor:
        """The loss, a scalar averaged over what it counts."""

    def class_logits(self, step: Step) -> Tensor | None:
        """Logits (N, C) of the stream's classes to predict by, where the student's head does not give them."""
        return None

    def measure(self, step: Step) -> None:
        """Update the objective's metrics with a batch that is not trained on."""
        self.mean.update(self(step).float(), weight=self.terms(step.batches[self.stream]))

    def results(self) -> dict[str, float]:
        """What :meth:`measure` has gathered since the last call, which starts it anew."""
        loss = self.mean.compute().item()
        self.mean.reset()
        return {"loss": loss}
