"""A cached teacher whose cache need not be there: its answers have shapes, and their bytes are counted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.teachers import CachedTeacher, Teacher, TeacherEnsemble
from research.models.teachers.cached import CachedAnswer
from research.models.teachers.caching.kinds import Columns, Features, Kind
from research.models.teachers.caching.manifest import Manifest
from research.planning.meter import Meter
from research.step import View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student


class PlannedAnswer(CachedAnswer):
    """Tensors shaped as what the cache keeps of the answer of its teacher, which is asked off the record."""

    def __init__(self, teacher: "PlannedCache", stream: str, view: View, tokens: Tokens) -> None:
        super().__init__(teacher, stream, tokens)
        self.planned, self.view = teacher, view

    def _read(self, kind: Kind) -> Columns:
        meter = self.planned.meter
        with meter.paused():
            answer = self.planned.live.answer(self.stream, self.view, self.tokens)
            kept = [(name, flat) for name, (flat, _) in kind.kept(answer, self.tokens).items()]
            if isinstance(kind, Features):
                self.planned.keep(kind.layer(answer))
        meter.read += sum(flat.numel() * flat.element_size() for _, flat in kept)
        return {name: torch.empty_like(flat) for name, flat in kept}


class PlannedCache(CachedTeacher):
    """Stands for a cached teacher in a step that is counted by ``meter``.

    Args:
        cached: whose ``teacher`` has the shapes of the answers; whose cache, if it is there, says how many tokens of a
            distribution it has.
        k: the same of a cache that is not there; none if it has all.
        meter: counts what is read.
    """

    def __init__(self, cached: CachedTeacher, k: int | None, meter: Meter) -> None:
        super().__init__(str(cached.path))
        if cached.teacher is None:
            raise UserError("model.teacher: plan needs init_args.teacher, which the answers of the cache are of")
        manifest = Manifest(cached.path)
        self._k = manifest.owner["k"] if manifest.runs else k
        self.live, self.meter, self.layer = cached.teacher, meter, nn.ParameterDict()

    @property
    def k(self) -> int | None:
        return self._k

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.live.tokenizer

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        self.live.check(student, streams)

    def build(self, device: torch.device) -> None:
        with self.meter.paused():
            self.live.build(device)

    def answer(self, stream: str, view: View, tokens: Tokens) -> PlannedAnswer:
        return PlannedAnswer(self, stream, view, tokens)

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        with self.meter.paused():
            self.live.fit_probe(task, batches, labels)

    def keep(self, layer: Mapping[str, Tensor]) -> None:
        """Hold tensors shaped as the output layer from now on."""
        if not self.layer:
            self.layer.update({name: nn.Parameter(torch.empty_like(part), False) for name, part in layer.items()})
            self.meter.count("teacher", self.layer.values())

    def output(self, device: torch.device) -> dict[str, Tensor]:
        return dict(self.layer.items())


def planned(teacher: Teacher | None, k: int | None, meter: Meter) -> Teacher | None:
    """A teacher, or the members of an ensemble, with what plans them in the place of what is cached."""
    if isinstance(teacher, TeacherEnsemble):
        teacher.members = {name: planned(member, k, meter) for name, member in teacher.members.items()}  # type: ignore[misc]
    return PlannedCache(teacher, k, meter) if isinstance(teacher, CachedTeacher) else teacher
