"""HybridModule owns student, teacher, objectives and weighting, and computes the weighted loss."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from research import __version__
from research.checkpoints.data import check_same_data
from research.data.batch import Batch, Tokens
from research.data.loader import window
from research.data.stream import StreamInfo
from research.data.tokenised import tokenizer_fingerprint
from research.errors import UserError
from research.inference.predict import predict
from research.models.packed import check_packed
from research.models.student import Student
from research.models.teachers import Teacher
from research.objectives.base import Objective
from research.objectives.reading import reads_of, views_of
from research.optimisation import Optimisation
from research.privacy import DPSGD
from research.ranks import averaged
from research.sharding import gradient_norm, is_sharded
from research.shares import divide, shared
from research.step import Clean, Step, View
from research.weighting import Fixed, Weighting
from research.weighting.base import Weights


class HybridModule(LightningModule):
    """One training flow for unsupervised, supervised and distillation objectives.

    Args:
        student: what is trained.
        objectives: losses by name.
        teacher: what the student learns from; frozen, in eval mode, and not in the checkpoint.
        weighting: from the losses to one; the default adds them up.
        optimisation: learning rates and their schedule.
        seed: random numbers of step n depend on this and n alone, so that a resumed run repeats them.
        privacy: which streams are private, and how much of them the weights may tell.
    """

    teacher: Teacher | None

    def __init__(
        self,
        student: Student,
        objectives: dict[str, Objective],
        teacher: Teacher | None = None,
        weighting: Weighting | None = None,
        optimisation: Optimisation | None = None,
        seed: int = 0,
        privacy: DPSGD | None = None,
    ) -> None:
        super().__init__()
        if not objectives:
            raise UserError("model.objectives: give at least one objective")
        self.student, self.objectives = student, nn.ModuleDict(objectives)
        self.weighting, self.optimisation = weighting or Fixed(), optimisation or Optimisation()
        self.seed, self.privacy, self.streams = seed, privacy, dict[str, StreamInfo]()
        self.config: dict[str, Any] = {}  # the whole run's, kept in checkpoints
        self.built = False
        self.figures: dict[str, Any] = {}  # the last step's, for the loggers
        object.__setattr__(self, "teacher", teacher)  # past nn.Module, so that it is no part of this module's state
        self.weighting.check(self.objectives)

    def check(self, streams: Mapping[str, StreamInfo]) -> None:
        """Refuse objectives that do not fit the streams, the student's family or the teacher; loads no weights.

        Raises:
            UserError: naming the key.
        """
        for name in (name for name, info in streams.items() if info.packed):
            check_packed(self.student.config, f"data.streams.{name}.init_args.pack", "model.student")
        for name, objective in self._objectives():
            objective.check(name, self.student.family, streams, self.teacher)
            for view in (*objective.views(), *objective.taught_views()):
                view.check(f"model.objectives.{name}", self.student, streams[objective.stream].problem)
                view.connect(self.student)
        if self.teacher is not None:
            self.teacher.check(self.student, streams)

    def views(self) -> dict[str, list[View]]:
        """The views of each stream that any objective reads, or its teacher, each once."""
        return views_of(dict(self._objectives()), taught=True)

    def configure_model(self) -> None:
        strategy, first = self.trainer.strategy, not self.built
        self.built = True
        if first:  # a test after a fit goes on with what there is
            self.student.build()
            for _, objective in self._objectives():
                objective.build(self.student, self.streams)
        if not is_sharded(strategy):  # one that divides parameters moves them when it has
            self.to(strategy.root_device)  # where the teacher is, and the batches that objectives read
        if self.trainer.training:
            for view in (view for views in self.views().values() for view in views):
                view.learn(self.student, strategy.root_device)
        if self.teacher is not None:
            self.teacher.build(strategy.root_device)
            for task in dict.fromkeys(task for _, objective in self._objectives() for task in objective.probes()):
                self.teacher.fit_probe(task, self._read(task, Clean()), self.streams[task].labels)
        if self.trainer.training:
            for _, objective in self._objectives():
                objective.prepare(self.student, self.teacher, self._read)
        if first and self.teacher is not None:
            self.teacher.follow(self.student)
        self.weighting.build(list(self.objectives), self.student.shared(), list(self.parameters()))

    def on_fit_start(self) -> None:
        self.student.train()
        if self.teacher is not None and self.trainer.is_global_zero:
            self.teacher.foresee(self._asked())

    def on_train_start(self) -> None:
        if self.privacy is not None:
            batches = self.total_steps * self.trainer.accumulate_grad_batches
            self.privacy.begin(self, self._data.private, batches)

    def training_step(self, batch: dict[str, Batch | None], batch_idx: int) -> Tensor:
        progress = min(self.trainer.global_step / self.total_steps, 1.0)
        active = {n: o for n, o in self._objectives() if o.due(batch) and self.weighting.weight(n, progress)}
        private = () if self.privacy is None else self.privacy.streams
        public = {name: o for name, o in active.items() if o.stream not in private}
        losses = {n: shared(loss, n, batch.get(active[n].stream)) for n, loss in self._losses(public, batch).items()}
        told, noised = self._private({n: o for n, o in active.items() if n not in public}, batch, progress)
        losses |= told
        loss, weights = self.weighting(losses, progress) if losses else (self._no_loss(), {})
        loss = loss + noised
        self._log_step(losses, weights, loss)
        accumulated = self.trainer.accumulate_grad_batches  # Lightning divides by it, where an epoch ends too
        return loss * (accumulated / len(window(batch_idx, int(self.trainer.num_training_batches), accumulated)))

    def share(self, batches: Sequence[Mapping[str, Batch | None]]) -> None:
        """Tell the batches whose gradients are added up, here and in all processes, what each counts for."""
        if len(batches) * self.trainer.world_size > 1:
            divide(dict(self._objectives()), batches, self.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self._log_weights(self.weighting.backward(loss))

    def on_train_batch_start(self, batch: dict[str, Batch | None], batch_idx: int) -> None:
        """Seed the dropout of this step by its number, whatever happened before."""
        step = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        torch.manual_seed(hash((self.seed, step, self.global_rank)) % 2**63)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.figures["gradient_norm"] = gradient_norm(self.trainer.strategy.model)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.zero_grad()  # the next forward finds their memory free
        if self.teacher is not None:
            self.teacher.follow(self.student)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hybrid"] = {
            "version": __version__,
            "config": self.config,
            "streams": {name: asdict(info) for name, info in self.streams.items()},
            "tokenizer": tokenizer_fingerprint(self.student.tokenizer),
            "teacher": {} if self.teacher is None else self.teacher.state_dict(),
            "privacy": {} if self.privacy is None else self.privacy.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["hybrid"]
        check_same_data(saved, self.student.tokenizer, self.streams)
        if self.teacher is not None:
            self.teacher.load_state_dict(saved["teacher"])
        if self.privacy is not None:
            self.privacy.load_state_dict(saved["privacy"])

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._measure(batch, "validation", dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._measure(batch, "test", dataloader_idx)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, Any]]:
        stream = self._data.held_out_streams("test")[dataloader_idx]
        reading = [o for _, o in self._objectives() if o.stream == stream]
        logits = (o.class_logits(Step({stream: batch}, self.student, None, {stream: o.views()})) for o in reading)
        return predict(
            self.student, stream, self.streams[stream], batch, next((z for z in logits if z is not None), None)
        )

    def on_validation_epoch_end(self) -> None:
        figures = self._log_results("validation")
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.weighting.observe(figures)

    def on_test_epoch_end(self) -> None:
        self._log_results("test")

    def configure_optimizers(self) -> Any:
        depths = {f"student.{name}": depth for name, depth in self.student.depths().items()}
        optimizer, schedule = self.optimisation.build(
            [(name, p) for name, p in self.named_parameters() if not name.startswith("weighting.")],
            lambda name: depths.get(name),
            self.student.depth,
            self.total_steps,
            self.weighting.groups(),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run.

        Raises:
            UserError: if neither ``max_steps`` nor ``max_epochs`` bounds it.
        """
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise UserError("trainer: set max_steps or max_epochs; weights and learning rate follow the run's length")
        return max(int(steps), 1)

    @property
    def _data(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def _read(self, stream: str, *views: View, split: str = "train") -> Iterator[Batch]:
        """One pass over a stream's batches, on the device, in the given views."""
        return (batch.to(self.trainer.strategy.root_device) for batch in self._data.read(stream, views, split))

    def _asked(self) -> Iterator[tuple[View, Tokens, tuple[str, ...]]]:
        """What the objectives will ask the teacher in one pass: views of the batches, and streams whose classes."""
        asking = [o for _, o in self._objectives() if o.needs_teacher or o.probes()]
        asked = dict.fromkeys((o.stream, view, o.probes()) for o in asking for view in o.taught_views() or o.views())
        most = self.total_steps * self.trainer.accumulate_grad_batches
        for stream, view, tasks in asked:
            for split in ("train", "validation"):
                for batch in islice(self._read(stream, view, split=split), most if split == "train" else None):
                    yield view, view.finish(batch.views[view], self.student), tasks

    def _losses(self, active: Mapping[str, Objective], batches: Mapping[str, Batch | None]) -> dict[str, Tensor]:
        step = Step(batches, self.student, self.teacher, views_of(active), reads_of(active))
        return {name: objective(step) for name, objective in active.items()}

    def _private(
        self, active: Mapping[str, Objective], batches: Mapping[str, Batch | None], progress: float
    ) -> tuple[dict[str, Tensor], Tensor | float]:
        if self.privacy is None:
            return {}, 0.0
        weights = {name: self.weighting.weight(name, progress) for name in active}
        return self.privacy.step(self, batches, active, weights, self._losses)

    def _objectives(self) -> list[tuple[str, Objective]]:
        return list(self.objectives.items())  # type: ignore[arg-type]

    def _no_loss(self) -> Tensor:
        """Zero with a graph, for a step whose objectives all have weight 0 now."""
        return 0.0 * torch.stack([p.sum() for p in self.student.parameters() if p.requires_grad]).sum()

    def _measure(self, batch: Batch, split: str, dataloader_idx: int) -> None:
        stream = self._data.held_out_streams(split)[dataloader_idx]
        reading = {name: o for name, o in self._objectives() if o.stream == stream}
        step = Step({stream: batch}, self.student, self.teacher, views_of(reading), reads_of(reading))
        for objective in reading.values():
            objective.measure(step)

    def _log_results(self, split: str) -> dict[str, float]:
        held_out = self._data.held_out_streams(split)
        reading = {name: o for name, o in self._objectives() if o.stream in held_out}
        results = {f"{split}/{name}/{k}": v for name, o in reading.items() for k, v in o.results().items()}
        self.log_dict(results, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics(results, self.trainer.fit_loop.epoch_loop.batch_progress.total.ready)
        return results

    def _log_step(self, losses: dict[str, Tensor], weights: Weights, loss: Tensor) -> None:
        """Keep the step's figures for the loggers, and show the losses in the progress bar."""
        values = averaged(torch.stack([each.detach().float() for each in (loss, *losses.values())]))
        loss, raw = values[0], dict(zip(losses, values[1:], strict=True))
        self.figures = {
            "loss": loss,
            **{f"loss/{name}": value for name, value in raw.items()},
            "learning_rate": self.trainer.optimizers[0].param_groups[-1]["lr"],
            **({} if self.privacy is None else self.privacy.figures()),
        }
        self._log_weights(weights)
        self.log_dict({"loss": loss, **raw}, prog_bar=True, logger=False)

    def _log_weights(self, weights: Weights) -> None:
        for name, weight in weights.items():
            self.figures[f"weight/{name}"] = weight
            self.figures[f"weighted/{name}"] = weight * self.figures[f"loss/{name}"]
