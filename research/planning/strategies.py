"""What a strategy keeps on each device, from the counts of one process: formulas, one a strategy.

P are the bytes of parameters, G of gradients, O of the optimiser's state, on N devices. A strategy that divides the
student gathers a layer's parameters when they are needed, in the backward pass also the next one's (Zhao et al. 2023,
arXiv:2304.11277), and what lies outside of the layers, such as the embeddings, for the whole step. A gradient is whole
until it is sent. Teachers are whole
on each device, whatever the strategy. ZeRO is as DeepSpeed does it with Lightning's settings (Rajbhandari et al. 2020,
arXiv:1910.02054).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from research.planning.trace import Counts

BUCKET = 200_000_000  # numbers of a bucket of DeepSpeed's, as Lightning sets it


@dataclass(frozen=True)
class Step:
    """The counts of one process: in the precision that was asked for, and with weights in the precision of products.

    The two differ under mixed precision, where a strategy that divides the student gathers its parameters in bfloat16,
    and autocast then keeps no copies of them.
    """

    whole: Counts
    narrow: Counts
    devices: int

    @property
    def gathered(self) -> float:
        """Bytes at the end of the forward pass, of a layer and of what lies outside of the layers: L + R.

        Or, if that is more, in the backward pass, when the gradients of the last step are gone: 3 L + 2 R - G / N.
        """
        layer, rest = self.narrow.layer, self.narrow.rest
        return max(layer + rest, 3 * layer + 2 * rest - self.whole.gradients / self.devices)

    @property
    def narrower(self) -> bool:
        return self.narrow is not self.whole


@dataclass(frozen=True)
class Memory:
    """Bytes on a device by what they are for, and ``host``, those in the main memory for it."""

    parameters: float
    gradients: float
    optimiser: float
    teacher: float
    activations: float
    losses: float
    buffers: float = 0.0
    host: float = 0.0

    @property
    def total(self) -> float:
        return sum(getattr(self, name) for name in PARTS)


PARTS = ("parameters", "gradients", "optimiser", "teacher", "activations", "losses", "buffers")


def memory(
    states: Counts, shares: tuple[float, float, float], at_work: Counts | None = None, buffers: float = 0.0
) -> Memory:
    """The states of training by the shares of P, G and O on a device, beside what the step ``at_work`` keeps."""
    at_work = at_work or states
    sizes = states.peak["parameters"], states.gradients, states.optimiser
    p, g, o = (share * size for share, size in zip(shares, sizes, strict=True))
    return Memory(p, g, o, states.peak["teacher"], at_work.activations, at_work.peak["losses"], buffers)


def one_process(step: Step) -> Memory:
    """P + G + O."""
    return memory(step.whole, (1, 1, 1))


def ddp(step: Step) -> Memory:
    """P + G + O, and G once more: the buckets in which gradients are sent."""
    return memory(step.whole, (1, 1, 1), buffers=step.whole.gradients)


def fsdp(step: Step) -> Memory:
    """(P + G + O) / N, and what is gathered."""
    n = step.devices
    return memory(step.whole, (1 / n, 1 / n, 1 / n), step.narrow, step.gathered)


def zero_1(step: Step) -> Memory:
    """P + G + O / N, and two buckets."""
    return _zero(step, 1, 1)


def zero_2(step: Step) -> Memory:
    """P + (G + O) / N, and two buckets."""
    return _zero(step, 1, 1 / step.devices)


def zero_3(step: Step) -> Memory:
    """(P + G + O) / N, two buckets, and what is gathered."""
    return _zero(step, 1 / step.devices, 1 / step.devices, step.gathered)


def offload(step: Step) -> Memory:
    """FSDP with (P + G + O) / N in the main memory."""
    divided = fsdp(step)
    host = divided.parameters + divided.gradients + divided.optimiser
    return replace(divided, parameters=0.0, gradients=0.0, optimiser=0.0, host=host)


def _zero(step: Step, parameters: float, gradients: float, gathered: float = 0.0) -> Memory:
    """Under mixed precision P and G are in bfloat16, and the float32 masters are divided with the optimiser's state."""
    narrow, n = step.narrow, step.devices
    number = narrow.gradients / max(narrow.trainable, 1)
    buckets = 2 * number * min(BUCKET, narrow.trainable)
    divided = memory(narrow, (parameters, gradients, 0), buffers=buckets + gathered)
    masters = step.whole.peak["parameters"] if step.narrower else 0
    optimiser = (step.whole.optimiser + masters) / n
    return replace(divided, optimiser=optimiser, teacher=float(step.whole.peak["teacher"]))


@dataclass(frozen=True)
class Strategy:
    """What it keeps on a device; and what each sends in a step: so many times P, gathered, and so many times G."""

    memory: Callable[[Step], Memory]
    gathers: int = 0
    reduces: int = 0

    def sent(self, step: Step) -> float:
        """Bytes that a device sends in a step; in a ring an exchange of all takes (N - 1) / N of their size."""
        counts = step.narrow if self.gathers else step.whole
        size = self.gathers * counts.peak["parameters"] + self.reduces * counts.gradients
        return size * (step.devices - 1) / step.devices


STRATEGIES = {
    "one": Strategy(one_process),
    "DDP": Strategy(ddp, reduces=2),
    "FSDP": Strategy(fsdp, gathers=2, reduces=1),
    "ZeRO 1": Strategy(zero_1, gathers=1, reduces=1),
    "ZeRO 2": Strategy(zero_2, gathers=1, reduces=1),
    "ZeRO 3": Strategy(zero_3, gathers=2, reduces=1),
    "offload": Strategy(offload, gathers=2, reduces=1),
}
