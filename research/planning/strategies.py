"""What a strategy keeps on each device, from the counts of one process: formulas, one a strategy.

P are the bytes of parameters, G of gradients, O of the optimiser's state, on N devices. A strategy that divides the
student gathers a layer's parameters when they are needed, in the backward pass also the next one's (Zhao et al. 2023,
arXiv:2304.11277), and what lies outside of the layers, such as the embeddings, for the whole step. A gradient is whole
until it is sent: that of a layer soon, that of the rest when the backward pass ends. Teachers are whole on each device,
whatever the strategy. ZeRO is as DeepSpeed does it, with the settings of Lightning (Rajbhandari et al. 2020,
arXiv:1910.02054).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from research.planning.meter import STATES
from research.planning.trace import OUTSIDE, Counts

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
        """Bytes, in the backward pass: 3 L + R of a layer and of what lies outside of the layers."""
        return 3 * self.narrow.layer + self.narrow.rest

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
    at: Counter[str], shares: tuple[float, float, float], buffers: float = 0.0, outside: float | None = None
) -> Memory:
    """What is alive ``at`` a moment, with the shares of P, G and O that a device has.

    ``outside`` is that of the gradients outside of the layers, where it is another one.
    """
    p, g, o = (share * at[kind] for share, kind in zip(shares, STATES, strict=True))
    g += at[OUTSIDE] * (shares[1] if outside is None else outside)
    rest = sum(at.values()) - sum(at[kind] for kind in (*STATES, OUTSIDE, "teacher", "losses"))
    return Memory(p, g, o, at["teacher"], rest, at["losses"], buffers)


def one_process(step: Step) -> Memory:
    """P + G + O."""
    return memory(step.whole.peak, (1, 1, 1))


def ddp(step: Step) -> Memory:
    """P + G + O, and G once more: the buckets in which gradients are sent."""
    return memory(step.whole.peak, (1, 1, 1), step.whole.gradients)


def fsdp(step: Step) -> Memory:
    """(P + G + O) / N, and what is gathered; parts are in float32, whatever the precision of what is gathered."""
    whole, narrow, n = step.whole, step.narrow, step.devices
    wider = whole.gradients / max(narrow.gradients, 1)
    divided = memory(narrow.divided, (0, wider / n, 0), step.gathered, outside=1)
    kept = {"parameters": whole.peak["parameters"] / n, "optimiser": whole.optimiser / n}
    return replace(divided, **kept, teacher=float(whole.peak["teacher"]))


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
    host = divided.parameters + step.whole.gradients / step.devices + divided.optimiser
    outside = float(step.narrow.divided[OUTSIDE])
    return replace(divided, parameters=0.0, gradients=outside, optimiser=0.0, host=host)


def _zero(step: Step, parameters: float, gradients: float, gathered: float = 0.0) -> Memory:
    """Under mixed precision P and G are in bfloat16, and the float32 masters are divided with the optimiser's state."""
    narrow, n = step.narrow, step.devices
    number = narrow.gradients / max(narrow.trainable, 1)
    buckets = 2 * number * min(BUCKET, narrow.trainable)
    at = narrow.peak if gradients == 1 else narrow.divided
    divided = memory(at, (parameters, gradients, 0), buckets + gathered)
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
