"""What objectives over layers have in common: which layers of the student learn from which of the teacher."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from research.errors import UserError
from research.models.recording import check_readable
from research.objectives.base import Objective
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from research.data.batch import Batch
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.recording import Stack
    from research.models.student import Student
    from research.models.teachers import Teacher


def uniform(student: int, teacher: int) -> dict[int, int]:
    """Each of ``student`` layers, and the teacher's at the same relative depth (TinyBERT), embeddings included."""
    return {m: -(-m * teacher // student) for m in range(student + 1)}


def same_heads(objective: Objective, student: "PretrainedConfig", teacher: "PretrainedConfig") -> None:
    """Refuse attention maps that cannot be compared head by head."""
    mine, theirs = student.num_attention_heads, teacher.num_attention_heads
    if mine != theirs:
        told = f"the student has {mine} attention heads and the teacher {theirs}"
        raise UserError(f"{type(objective).__name__} of stream '{objective.stream}': {told}; use MiniLM with heads")


def depths_of(config: "PretrainedConfig") -> list[int]:
    """The number of layers of each stack."""
    settings: Any = config
    if not config.is_encoder_decoder:
        return [settings.num_hidden_layers]
    decoder = getattr(settings, "num_decoder_layers", None) or getattr(settings, "decoder_layers", None)
    return [settings.num_hidden_layers, decoder or settings.num_hidden_layers]


class LayerDistillation(Objective):
    """Reads the layers of student and teacher.

    In an encoder-decoder both stacks learn, each from its own; only the encoder's runs for a view without a target.

    Args:
        stream: any stream.
        layers: from the student's layers to the teacher's, each 0 for the embeddings or counted from 1; the default
            joins the last of both.
        view: what both read, such as the view of another objective, whose forward it then shares.
    """

    needs_teacher = True

    first: ClassVar[int] = 0
    """The lowest layer that has what it reads."""

    def __init__(self, stream: str, layers: dict[int, int] | None = None, view: View | None = None) -> None:
        super().__init__(stream)
        self.layers, self.view = layers, view or Clean()
        self.config: PretrainedConfig | None = None  # the teacher's
        self.projections = nn.ModuleDict()

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def terms(self, batch: "Batch") -> Tensor:
        return batch.views[self.view].mask.sum()

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        assert teacher is not None
        self.config = teacher.config
        if self.config is None:
            told = f"{type(self).__name__} reads the teacher's layers, and {type(teacher).__name__} shows none"
            raise UserError(f"model.objectives.{name}: {told}; use a LiveTeacher")

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        assert self.config is not None
        if "attention" in self.reads:
            check_readable(student.config, "model.student")
            check_readable(self.config, "model.teacher")
        for who, numbers, depths in (
            ("student", self.layers or {}, depths_of(student.config)),
            ("teacher", (self.layers or {}).values(), depths_of(self.config)),
        ):
            if wrong := [n for n in numbers if not self.first <= n <= min(depths)]:
                told = f"its {who} layer {wrong[0]} is none of {self.first} to {min(depths)}"
                raise UserError(f"{type(self).__name__} of stream '{self.stream}': layers: {told}")

    def project(self, student: "Student", *names: str) -> None:
        """Learn a linear map to the teacher's width for each name, if the widths differ."""
        assert self.config is not None
        for name in names:
            if student.width != self.config.hidden_size and name not in self.projections:
                self.projections[name] = nn.Linear(student.width, self.config.hidden_size, bias=False)

    def projected(self, hidden: Tensor, name: str) -> Tensor:
        """The student's states (M, H) in the teacher's width."""
        return self.projections[name](hidden) if name in self.projections else hidden

    def default(self, student: int, teacher: int) -> dict[int, int]:
        """The map for stacks of so many layers, where none is given."""
        return {student: teacher}

    def stacks(self, step: Step) -> "Iterator[tuple[Stack, Stack, Tensor, dict[int, int]]]":
        """The student's and the teacher's stacks, where their tokens are real (N, L), and the map of their layers."""
        mine, theirs = step.encoded(self.stream, self.view), step.taught(self.stream, self.view).encoded
        for student, teacher, real in zip(mine.stacks, theirs.stacks, mine.real(), strict=True):
            yield student, teacher, real, self.layers or self.default(student.depth, teacher.depth)
