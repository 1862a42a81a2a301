"""DP-SGD (Abadi et al. 2016, arXiv:1607.00133) on some of a run's streams, beside others that are public."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from research.data.batch import Batch
from research.data.poisson import Poisson
from research.data.rows import rows_of
from research.data.stream import Stream
from research.errors import UserError
from research.privacy.budget import Budget, noise_for
from research.privacy.clipping import carried, clipped_sum
from research.sharding import Whole

if TYPE_CHECKING:
    from research.module import HybridModule
    from research.objectives.base import Objective

Losses = Callable[[Mapping[str, "Objective"], Mapping[str, Batch | None]], dict[str, Tensor]]


class DPSGD(Whole):
    """The gradient of a step is that of the public streams' losses, plus for each private stream

    ``(sum_i g_i min(1, C / |g_i|) + N(0, (sigma C)^2 I)) / B``,

    where g_i is the gradient of example i's losses, weighed and added up over all objectives that read the stream, C
    is ``clip``, B the stream's ``batch_size``, and the examples are a Poisson sample. Sigma is the least by which the
    whole run spends ``epsilon``. So the student's weights are (epsilon, delta)-differentially private for each of these
    streams: whether any one example was there changes the probability of any outcome by a factor of at most
    ``exp(epsilon)``, but for delta. Nothing else of a run's folder is covered. The accountant's state is in each
    checkpoint.

    Each example is a forward and a backward pass of its own.

    Args:
        streams: the private ones of ``data.streams``; each spends what is given here.
        epsilon: above 0.
        delta: above 0, and below one over the number of examples.
        clip: the longest gradient of an example, above 0.
        repeatable: draw samples and noise by ``seed_everything``, for experiments: who knows the seed can undo them.
            Else by the system's randomness, and no run is like another.
    """

    def __init__(
        self, streams: list[str], epsilon: float, delta: float, clip: float = 1.0, repeatable: bool = False
    ) -> None:
        if not streams:
            raise UserError("model.privacy.streams: name at least one stream")
        for name, value in (("epsilon", epsilon), ("clip", clip)):
            if not 0 < value < float("inf"):
                raise UserError(f"model.privacy.{name} is {value}; it must be above 0 and finite")
        if not 0 < delta < 1:
            raise UserError(f"model.privacy.delta is {delta}; it must be between 0 and 1")
        if find_spec("opacus") is None:
            raise UserError("model.privacy needs the extra: pip install 'hybrid-fine-tuning[private]'")
        self.streams, self.epsilon, self.delta, self.clip = tuple(streams), epsilon, delta, clip
        self.repeatable = repeatable
        self.budgets: dict[str, Budget] = {}
        self.kept: dict[str, dict[str, float]] = {}  # what a checkpoint says of them

    def sampled(self, stream: Stream) -> Poisson:
        """A private stream, as the accountant assumes it."""
        return Poisson(stream, self.repeatable)

    def begin(self, module: nn.Module, streams: Mapping[str, Poisson], steps: int) -> None:
        """Choose the noise for so many batches in all, or go on with a checkpoint's.

        Raises:
            UserError: if that would spend too much, the data are not the checkpoint's, or the module mixes examples.
        """
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
            raise UserError("model.student: its batch normalisation mixes examples; DP-SGD cannot clip each by itself")
        for name, stream in streams.items():
            if self.delta * stream.size >= 1:
                told = f"it must be below 1/{stream.size}, one over the examples of stream '{name}'"
                raise UserError(f"model.privacy.delta is {self.delta:g}; {told}")
            kept = self.kept.get(name)
            if kept is None:
                self.budgets[name] = Budget(
                    stream.rate, noise_for(self.epsilon, self.delta, stream.rate, steps), self.delta
                )
                continue
            if kept["rate"] != stream.rate:
                told = f"has {stream.size} examples, and the run began with another number"
                raise UserError(f"data.streams.{name}: {told}; what it has spent does not hold for these")
            self.budgets[name] = Budget(stream.rate, kept["noise"], self.delta, int(kept["steps"]))
            if (spent := self.budgets[name].epsilon(steps)) > self.epsilon:
                told = f"{steps} batches would spend epsilon {spent:.2f} on stream '{name}'"
                raise UserError(f"trainer.max_steps: {told}; model.privacy.epsilon allows {self.epsilon:g}")
        self.batch_sizes = {name: stream.rate * stream.size for name, stream in streams.items()}

    def step(
        self,
        module: "HybridModule",
        batches: Mapping[str, Batch | None],
        objectives: Mapping[str, "Objective"],
        weights: Mapping[str, float],
        losses: Losses,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The mean losses of the private objectives, without a gradient, and a loss of 0 that has the noised one.

        Each call is a step of the mechanism: also one whose sample is empty gets its noise, and is counted.

        Args:
            module: whose trainable parameters these are.
            batches: of this step; private ones are Poisson samples.
            objectives: those of the private streams.
            weights: of each.
            losses: gives those of some objectives on some batches.
        """
        parameters = [p for p in module.parameters() if p.requires_grad]
        total, means = [torch.zeros_like(p) for p in parameters], dict[str, Tensor]()
        for stream, budget in self.budgets.items():
            reading, batch = {n: o for n, o in objectives.items() if o.stream == stream}, batches.get(stream)
            told = defaultdict[str, list[Tensor]](list)
            rows = [] if batch is None or not reading else rows_of(batch)
            found = (losses(reading, {stream: row}) for row in rows)
            clipped = clipped_sum(weighed(found, weights, told), parameters, self.clip)
            seed = [module.seed, zlib.crc32(stream.encode()), 0xD9, budget.steps] if self.repeatable else None
            rng = np.random.default_rng(seed)  # of the processor: torch's generators have too few seeds for a secret
            for t, own in zip(total, clipped, strict=True):
                noise = torch.from_numpy(rng.standard_normal(own.shape, dtype=np.float32)).to(own)
                t += (own + budget.noise * self.clip * noise) / self.batch_sizes[stream]
            budget.steps += 1
            means |= {name: torch.stack(each).mean() for name, each in told.items()}
        return means, carried(total, parameters)

    def figures(self) -> dict[str, float]:
        """What each stream has cost so far, for the loggers."""
        return {f"epsilon/{name}": budget.epsilon() for name, budget in self.budgets.items()}

    def summary(self) -> dict[str, dict[str, Any]]:
        """The guarantee of each stream, and what it rests on."""
        return {
            name: {
                "epsilon": budget.epsilon(),
                "delta": self.delta,
                "clip": self.clip,
                "noise_multiplier": budget.noise,
                "sampling_rate": budget.rate,
                "steps": budget.steps,
                "accountant": "RDP (Opacus), Poisson sampling, one example added or removed",
                "secret": not self.repeatable,
            }
            for name, budget in self.budgets.items()
        }

    def state_dict(self) -> dict[str, dict[str, float]]:
        now = {n: {"rate": b.rate, "noise": b.noise, "steps": b.steps} for n, b in self.budgets.items()}
        return {**self.kept, **now}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        self.kept = state


def weighed(
    examples: Iterable[dict[str, Tensor]], weights: Mapping[str, float], told: dict[str, list[Tensor]]
) -> Iterator[Tensor]:
    """The weighted sum of the losses of each example; the losses themselves are added to ``told``."""
    for losses in examples:
        for name, loss in losses.items():
            told[name].append(loss.detach())
        yield torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
