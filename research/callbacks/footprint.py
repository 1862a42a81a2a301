"""How large a student is, and how fast."""

import copy
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.data.sources import Source
from research.errors import UserError
from research.models.embedding import embed
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class Footprint(Callback, Whole):
    """On ``test``, the student's parameters and its speed, logged as ``test/footprint/parameters``, in millions, heads
    included, and ``test/footprint/texts_per_second``: embedded in batches of like length by one thread of the CPU,
    wherever it was trained. The seconds are the thread's own, which other processes do not lengthen by taking turns,
    and the median of rounds that take one or more together.

    Args:
        source: the texts.
        count: how many of them are read, the first, at least 1.
    """

    def __init__(self, source: Source, count: int = 128) -> None:
        if count < 1:
            raise UserError(f"trainer.callbacks: Footprint: count is {count}; it must be at least 1")
        self.source, self.count = source, count

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        from torch.utils.benchmark import Timer

        module: Any = pl_module
        student = copy.deepcopy(module.student).cpu()
        texts = [record["text"] for record in islice(self.source, self.count)]
        names = {"embed": embed, "student": student, "texts": texts}
        rounds = Timer("embed(student, texts)", timer=time.thread_time, globals=names)
        seconds = rounds.blocked_autorange(min_run_time=1.0).median
        figures = {
            "parameters": sum(p.numel() for p in student.parameters()) / 1e6,
            "texts_per_second": len(texts) / seconds,
        }
        module.log_dict({f"test/footprint/{name}": value for name, value in figures.items()}, logger=False)
