"""What a trained student says of the splits of its own run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from research.data.stream_module import Connection
from research.data.task import TaskDataModule
from research.errors import UserError
from research.inference.model import Model
from research.models.checkpoint import Trained


@dataclass(frozen=True)
class Scored:
    """Logits (N, C), embeddings (N, H) and labels (N,) or (N, C) of N examples."""

    logits: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray


def data_of(checkpoint: Path, model: Model, task: str) -> TaskDataModule:
    """The task of a checkpoint as its run had it, with its splits.

    Raises:
        UserError: if its data is not there, or has other labels now.
    """
    trained = Trained(str(checkpoint), "--ckpt")
    data = trained.stream(task)
    assert isinstance(data, TaskDataModule)
    cache = trained.config["data"].get("cache")
    seed = trained.config["seed_everything"]
    views = model.scored_views(task)
    data.connect(Connection(task, model.student, views, seed, Path(cache).expanduser() if cache else None))
    data.prepare_data()
    data.setup()
    if data.labels != model.streams[task].labels:
        theirs = ", ".join(model.streams[task].labels)
        raise UserError(f"{data.key('source')}: has other labels now than the checkpoint, which has {theirs}")
    return data


def check_split(data: TaskDataModule, split: str) -> None:
    """Raises:
    UserError: if the run has no such split, or it is empty.
    """
    if split not in data.rows or len(data.rows[split][1]) == 0:
        raise UserError(f"{data.key(split)}: the run has set no texts apart for {split}")


@torch.inference_mode()
def scored(model: Model, data: TaskDataModule, split: str) -> Scored:
    """The examples of a split, in the order of the batches.

    Raises:
        UserError: if the run has no such split.
    """
    check_split(data, split)
    stream = data.stream(split)
    device = next(model.student.parameters()).device
    rows, labels = [], []
    for position in range(len(stream)):
        batch = stream[position]
        assert batch is not None and batch.labels is not None
        rows.append(model.scored(data.to.name, batch.to(device)).float().cpu())
        labels.append(batch.labels)
    values, classes = torch.cat(rows).numpy(), max(len(data.labels), 1)
    return Scored(values[:, :classes], values[:, classes:], torch.cat(labels).numpy())
