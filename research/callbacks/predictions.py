"""``predictions.jsonl``: a line for each example of the test splits, in the order of the data."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.data.batch import Batch

if TYPE_CHECKING:
    from lightning import LightningModule


class Predictions(Callback):
    """Each line names its stream and where the example stands, the ``gold`` label, labels, value or target text where
    there is one, and then what :func:`predict` says of it.

    Args:
        folder: the run's folder.
        say: what tells the user.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say, self.lines = folder, say, dict[tuple[int, int], dict[str, Any]]()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: "LightningModule",
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        name = data.held_out_streams("test")[dataloader_idx]
        assert batch.index is not None
        for index, answer in zip(batch.index.tolist(), outputs, strict=True):
            source = data.streams[name]
            gold = source.gold("test", index)
            told = {} if gold is None else {"gold": gold}
            line = {"stream": name, "where": source.where("test", index), **told, **answer}
            self.lines[dataloader_idx, index] = line

    def on_predict_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        rank = f".{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.folder / f"predictions{rank}.jsonl"
        work = path.with_suffix(".new")
        with work.open("w") as file:
            for _, line in sorted(self.lines.items()):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        os.replace(work, path)
        self.say(f"{len(self.lines)} predictions in {path}")
