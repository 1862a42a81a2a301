"""Runs the steps of a fit on tensors without memory, and counts bytes, FLOPs and tokens of the last of them."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from research.data.batch import Batch
from research.data.mixture import MixtureDataModule
from research.data.sampling import Joint, Sampling
from research.models.teachers import Teacher
from research.module import HybridModule
from research.planning.cached import PlannedCache
from research.planning.meter import Meter
from research.planning.texts import fill
from research.planning.weightless import weightless

OUTSIDE = "gradients outside of the layers"  # which FSDP sends when the backward pass ends


@dataclass
class Counts:
    """What a step takes on one process; sizes in bytes.

    ``peak`` is what is alive at the moment of the most, by kind: ``parameters``, ``gradients``, ``optimiser``,
    ``teacher`` (its weights), ``activations``, ``losses`` and, until the backward pass ends, :data:`OUTSIDE`;
    ``divided`` is the same where the first three are divided among the devices. ``gradients`` are those of the whole
    student, of which a moment may have a part. ``layer`` are the parameters of the largest layer, and ``rest`` those
    outside of the layers. ``flops`` are of matrix products, the ``teachers`` among them, and ``tokens`` real ones,
    padding not counted. ``batch`` is what goes to the device, ``loaded`` the seconds that this machine took to make it,
    and ``read`` what comes from the cache of a teacher. ``parameters``, ``trainable`` and ``teacher`` count numbers,
    not bytes.
    """

    peak: Counter[str] = field(default_factory=Counter)
    divided: Counter[str] = field(default_factory=Counter)
    parameters: int = 0
    trainable: int = 0
    teacher: int = 0
    gradients: int = 0
    optimiser: int = 0
    layer: int = 0
    rest: int = 0
    flops: int = 0
    teachers: int = 0
    tokens: int = 0
    batch: int = 0
    read: int = 0
    loaded: float = 0.0


class EachAlone(Sampling):
    """A stream a step, in turn: the steps of any mixture that does not join them, each once."""

    def connect(self, streams: list[str], seed: int) -> None:
        self.streams = streams

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        return len(self.streams)

    def turn(self, stream: str, step: int) -> int | None:
        turn, which = divmod(step, len(self.streams))
        return turn if self.streams[which] == stream else None


class Counting(Callback):
    """Counts each step from ``first`` on; ``counts`` are those of the largest, of the mean where it is work."""

    def __init__(self, meter: Meter, first: int) -> None:
        self.meter, self.first, self.counts, self.steps = meter, first, Counts(), 0
        self.most = self.most_divided = 0.0

    def built(self, module: HybridModule) -> None:
        """Count what stays through all steps."""
        counts, meter, student = self.counts, self.meter, module.student
        counts.parameters = sum(p.numel() for p in module.parameters())
        counts.trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
        meter.count("parameters", [*module.parameters(), *module.buffers()])
        meter.count("teacher", tensors_of(module.teacher))
        assert student.model is not None
        layers = [layer for owner, name in student.family.stacks(student.model) for layer in getattr(owner, name)]
        sizes = [bytes_of(layer.parameters()) for layer in layers]
        counts.layer = max(sizes)
        counts.rest = bytes_of(module.parameters()) - sum(sizes)
        inside = {id(parameter) for layer in layers for parameter in layer.parameters()}
        for parameter in (p for p in module.parameters() if p.requires_grad):
            kind = "gradients" if id(parameter) in inside else OUTSIDE
            parameter.register_post_accumulate_grad_hook(partial(self._gradient, kind))
        student.register_forward_pre_hook(lambda *_: self._kind("activations"))
        student.register_forward_hook(lambda *_: self._kind("losses"))
        for model in modules_of(module.teacher):
            model.register_forward_pre_hook(lambda *_: self._teaching(-1))
            model.register_forward_hook(lambda *_: self._teaching(1))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._kind("losses")
        self.meter.restart()
        if batch_idx == self.first:
            self.counts.teachers = 0

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._kind("activations")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        given = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self.counts.gradients = max(self.counts.gradients, self.meter.count("gradients", given))
        self._kind("optimiser")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict[str, Batch | None], batch_idx: int
    ) -> None:
        states = [t for state in trainer.optimizers[0].state.values() for t in state.values() if isinstance(t, Tensor)]
        self.counts.optimiser = self.meter.count("optimiser", states)
        if batch_idx < self.first:
            return
        counts, shown = self.counts, {name: part for name, part in batch.items() if part is not None}
        if self.meter.most > self.most:
            self.most, counts.peak = self.meter.most, self.meter.peak
        if self.meter.most_divided > self.most_divided:
            self.most_divided, counts.divided = self.meter.most_divided, self.meter.divided
        self.steps += 1
        counts.flops += self.meter.flops
        counts.read += self.meter.read
        counts.tokens += sum(part.real_tokens for part in shown.values())
        counts.batch += sum(bytes_of_batch(part) for part in shown.values())

    def finish(self, teacher: Teacher | None) -> Counts:
        """The counts, where work is that of a step."""
        self.counts.teacher = sum(tensor.numel() for tensor in tensors_of(teacher))
        for name in ("flops", "teachers", "tokens", "batch", "read"):
            setattr(self.counts, name, getattr(self.counts, name) // self.steps)
        return self.counts

    def _gradient(self, kind: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self.meter.count(kind, [parameter.grad])

    def _kind(self, kind: str) -> None:
        self.meter.kind = kind

    def _teaching(self, sign: int) -> None:
        self._kind("losses")
        self.counts.teachers += sign * self.meter.flops


def trace(
    module: HybridModule, data: MixtureDataModule, precision: str, clip: float | None, gpu: bool, meter: Meter
) -> Counts:
    """Run ``module`` on full batches of ``data``, both connected and not yet built, and count by ``meter``.

    Streams that share a step are in it together; else the most is that of any of them.
    """
    joint = isinstance(data.mixture, Joint)
    if not joint:
        data.mixture = EachAlone()
        data.mixture.connect(list(data.streams), 0)
    first = 1 if joint else len(data.streams)  # the first ones make the optimiser's state
    counting = Counting(meter, first)
    for stream in data.streams.values():
        fill(stream, 2 * first)
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,  # type: ignore[arg-type]
        barebones=True,
        max_steps=2 * first,
        limit_val_batches=0,
        gradient_clip_val=clip,
        use_distributed_sampler=False,
        callbacks=[counting],
    )
    with weightless(gpu) as shapes:

        def build() -> None:
            with shapes, meter:
                type(module).configure_model(module)
            counting.built(module)

        module.configure_model = build  # type: ignore[method-assign]
        data.prepare_data = lambda: None  # type: ignore[method-assign]
        with meter:
            trainer.fit(module, data)
    counts = counting.finish(module.teacher)
    counts.loaded = loading_time(data)
    return counts


def loading_time(data: MixtureDataModule) -> float:
    """Seconds that one process of this machine takes to make a step's batches from a table in memory."""
    streams = [stream.training() for stream in data.streams.values()]
    started = time.perf_counter()
    for stream in streams:
        assert stream[0] is not None
    seconds = time.perf_counter() - started
    return seconds if isinstance(data.mixture, Joint) else seconds / len(streams)


def modules_of(teacher: Any) -> Iterator[nn.Module]:
    """The models of a teacher, of all members where there are several; of a cached one the output layer."""
    if teacher is None:
        return
    if isinstance(teacher, PlannedCache):
        yield teacher.layer
        return
    for value in vars(teacher).values():
        if isinstance(value, nn.Module):
            yield value
        for member in value.values() if isinstance(value, dict) else [value]:
            if isinstance(member, Teacher):
                yield from modules_of(member)


def tensors_of(teacher: Any) -> list[Tensor]:
    """Weights and buffers of the models of a teacher."""
    return [tensor for model in modules_of(teacher) for tensor in (*model.parameters(), *model.buffers())]


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of all the elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def bytes_of_batch(batch: Batch) -> int:
    """Bytes of a batch's views and labels."""
    parts = [getattr(tokens, f.name) for tokens in batch.views.values() for f in fields(tokens)]
    return bytes_of(part for part in [*parts, batch.labels] if part is not None)
