"""What W&B shows of a run beside its curves: its files, its figures of the test splits, and a table of its errors."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_only

from research.callbacks.wandb_log import wandb_logger
from research.checkpoints import LAST

if TYPE_CHECKING:
    from research.data.stream_module import StreamDataModule
    from research.evaluation.errors.answers import Answers
    from research.run import Run

log = logging.getLogger(__name__)
RESULTS = ("config.yaml", "metrics.csv", "*.json", "*.png", "predictions*.jsonl")
ROWS = 500  # of the table, a task
COLUMNS: list[str | int] = ["stream", "where", "text", "gold", "answer", "figure"]


@rank_zero_only
def publish(
    run: "Run", folder: Path, config: dict[str, Any], command: str, streams: "Mapping[str, StreamDataModule]"
) -> None:
    """Add what ``command`` has left in the run's folder to its W&B run, which goes on if it has ended.

    ``fit`` gives the last checkpoint by its path and digest, so that nothing is copied; ``test`` its figures;
    ``predict`` a table of errors. Each gives the run's small files. Whatever W&B does, the command has succeeded.
    """
    import wandb

    from research.evaluation.errors.predictions import read_answers

    try:
        if wandb.run is None and not (command != "fit" and wandb_logger(run, folder, config)):
            return
        experiment: Any = wandb.run
        name = re.sub(r"[^\w.-]", "-", folder.name)
        if command == "fit":
            model = wandb.Artifact(f"{name}-model", "model")
            model.add_reference((folder / "checkpoints" / LAST).resolve().as_uri())
            experiment.log_artifact(model)
        if command == "test":
            experiment.summary.update(json.loads((folder / "test.json").read_text()))
        if command == "predict":
            answers = read_answers(folder)
            rows = [row for stream, given in answers.items() for row in errors(stream, given, streams[stream])]
            experiment.log({"test/errors": wandb.Table(columns=COLUMNS, data=rows)})
        results = wandb.Artifact(f"{name}-results", "results")
        for path in sorted(path for pattern in RESULTS for path in folder.glob(pattern)):
            results.add_file(str(path))
        experiment.log_artifact(results)
    except Exception as error:
        log.warning("W&B: %s: %s; all of it is in %s", type(error).__name__, str(error).splitlines()[0], folder)


def errors(stream: str, answers: "Answers", module: "StreamDataModule") -> Iterator[list[Any]]:
    """Up to :data:`ROWS` rows of :data:`COLUMNS`: the surest wrong answers, or the worst by their kind's figure."""
    from research.evaluation.errors.answers import Judged, Scored
    from research.evaluation.errors.data import texts_of_split

    texts = texts_of_split(module, "test")
    if isinstance(answers, Judged):
        figures, order = answers.sure, np.flatnonzero(~answers.right)
        order = order[np.argsort(-answers.sure[order], kind="stable")]
    elif isinstance(answers, Scored):
        figures, order = answers.scores, np.argsort(answers.best * answers.scores, kind="stable")
    for i in order[:ROWS].tolist():
        told = answers.told(i) if isinstance(answers, Judged) else (_plain(answers.gold[i]), str(answers.guess[i]))
        yield [stream, answers.where[i], texts[answers.where[i]], *told, float(figures[i])]


def _plain(gold: Any) -> str:
    return " | ".join(gold) if isinstance(gold, list) else str(gold)
