"""What can be kept of an answer: class logits, the likeliest tokens, hidden states. Each kind is a table of rows."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from research.data.batch import IGNORE, Tokens
from research.data.shards import explained
from research.models.heads import CHUNK, RowLoss, VocabularyHead
from research.models.teachers.caching.rows import ends
from research.models.teachers.caching.table import Cells
from research.models.teachers.teacher import Answer
from research.step import Encoded

OUTPUT = "output.safetensors"
Columns = Mapping[str, Sequence[np.ndarray]]
"""The cells of N rows, by column."""


class Kind(ABC):
    """Equal kinds share a table, whose folder has their name."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        """What to keep of an answer to ``tokens``, by row; what all rows share goes into ``folder``."""


@dataclass(frozen=True)
class Classes(Kind):
    """Logits in float32: few numbers a text. ``probe`` is a digest of the examples that the task was learnt from."""

    task: str
    probe: str = ""

    @property
    def name(self) -> str:
        return "-".join(filter(None, ("classes", self.task, self.probe)))

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        logits = answer.class_logits(self.task).float().cpu().numpy()
        return [{"logits": part.ravel()} for part in np.split(logits, np.cumsum(documents(tokens))[:-1])]

    def logits(self, columns: Columns, tokens: Tokens) -> Tensor:
        """(N, C), a row a document where several are packed in one."""
        flat = np.concatenate(columns["logits"])
        return torch.from_numpy(flat.reshape(int(documents(tokens).sum()), -1))


@dataclass(frozen=True)
class Embeddings(Kind):
    """Pooled states, in half precision."""

    name = "embeddings"

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        pooled = answer.embedding().to(torch.float16).cpu().numpy()
        return [{"embedding": part.ravel()} for part in np.split(pooled, np.cumsum(documents(tokens))[:-1])]

    def embedding(self, columns: Columns, tokens: Tokens) -> Tensor:
        """(N, H), a row a document where several are packed in one."""
        flat = np.concatenate(columns["embedding"]).astype(np.float32)
        return torch.from_numpy(flat.reshape(int(documents(tokens).sum()), -1))


class Witness(VocabularyHead):
    """Stands where a student's head would, and keeps the head of the teacher that it is to be compared with."""

    def __init__(self, answer: Answer, temperature: float = 1.0) -> None:
        answer.divergence(self, lambda mine, theirs: mine, temperature)

    def divergence(self, other: VocabularyHead, loss: RowLoss) -> Tensor:
        self.seen = other
        return other.features.sum() * 0.0


@dataclass(frozen=True)
class TopTokens(Kind):
    """At each labelled position the k likeliest tokens at a temperature, and what all others have together.

    Log-probabilities are in half precision: the likelier a token, the smaller is its error.
    """

    temperature: float
    k: int

    @property
    def name(self) -> str:
        return f"tokens-{self.temperature}"

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        head = Witness(answer).seen
        narrow = np.min_scalar_type(len(head.weight) - 1)
        parts = [self._top(part, head) for part in head.features.split(CHUNK)]
        top, log_p = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        counts = labelled(tokens)
        return [
            {
                "token": t.numpy().astype(narrow).ravel(),
                "log_probability": p[:, :-1].numpy().astype(np.float16).ravel(),
                "log_rest": p[:, -1].numpy().astype(np.float32),
            }
            for t, p in zip(top.split(counts), log_p.split(counts), strict=True)
        ]

    def divergence(self, columns: Columns, head: VocabularyHead, loss: RowLoss) -> Tensor:
        """Mean over positions, between distributions over k + 1 outcomes."""
        top = np.concatenate(columns["token"]).astype(np.int64).reshape(-1, self.k)
        log_p = np.concatenate(columns["log_probability"]).astype(np.float32).reshape(-1, self.k)
        log_p = np.concatenate([log_p, np.concatenate(columns["log_rest"])[:, None]], axis=1)

        def one(mine: Tensor, top: Tensor, theirs: Tensor) -> Tensor:
            return loss(collapsed(mine / self.temperature, top), theirs)

        return head.mean(one, *(torch.from_numpy(part).to(head.features.device) for part in (top, log_p)))

    @torch.no_grad()
    def _top(self, features: Tensor, head: VocabularyHead) -> tuple[Tensor, Tensor]:
        logits = F.linear(features, head.weight, head.bias).float() / self.temperature
        log_p = logits.log_softmax(-1)
        top = log_p.topk(self.k).indices
        return top, collapsed(log_p, top)


@dataclass(frozen=True)
class Features(Kind):
    """At each labelled position what the teacher's output layer reads, in half precision, and once that layer.

    So all tokens have their logits, at any temperature, for as many bytes as half as many likeliest tokens take.
    """

    name = "features"

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        head = Witness(answer).seen
        path = folder / OUTPUT
        if not path.exists():
            layer = {"weight": head.weight} if head.bias is None else {"weight": head.weight, "bias": head.bias}
            with explained(folder):
                building = path.with_suffix(f".building-{os.getpid()}")
                save_file({name: part.detach().cpu().contiguous() for name, part in layer.items()}, building)
                building.replace(path)
        features = head.features.to(torch.float16).cpu().split(labelled(tokens))
        return [{"feature": part.numpy().ravel()} for part in features]

    def head(self, columns: Columns, layer: Mapping[str, Tensor]) -> VocabularyHead:
        """The teacher's head at the labelled positions."""
        weight = layer["weight"]
        features = torch.from_numpy(np.concatenate(columns["feature"])).to(weight).view(-1, weight.shape[1])
        return VocabularyHead(features, weight, layer.get("bias"))


@dataclass(frozen=True)
class States(Kind):
    """Hidden states of all real tokens, in half precision."""

    name = "states"

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        hidden, memory = answer.encoded.hidden, answer.encoded.memory
        longest, written = ends(tokens)

        def halves(states: Tensor, stops: np.ndarray) -> list[np.ndarray]:
            rows = states.to(torch.float16).cpu().numpy()
            return [row[:stop].ravel() for row, stop in zip(rows, stops, strict=True)]

        both = halves(hidden, written), halves(memory, longest if memory is not hidden else np.zeros_like(longest))
        return [{"hidden": h, "memory": m} for h, m in zip(*both, strict=True)]

    def encoded(self, columns: Columns, tokens: Tokens) -> Encoded:
        _, written = ends(tokens)
        width = len(columns["hidden"][0]) // int(written[0])

        def padded(cells: Sequence[np.ndarray], length: int) -> Tensor:
            out = np.zeros((len(cells), length, width), np.float32)
            for row, cell in zip(out, cells, strict=True):
                row[: len(cell) // width] = cell.reshape(-1, width)
            return torch.from_numpy(out).to(tokens.ids.device)

        if tokens.decoder_ids is None:
            hidden = padded(columns["hidden"], tokens.ids.shape[1])
            return Encoded(hidden, hidden, tokens)
        hidden = padded(columns["hidden"], tokens.decoder_ids.shape[1])
        return Encoded(hidden, padded(columns["memory"], tokens.ids.shape[1]), tokens)


def collapsed(logits: Tensor, top: Tensor) -> Tensor:
    """Logits (m, V) over a vocabulary to those (m, k + 1) of k + 1 outcomes: the tokens ``top`` (m, k), or another."""
    rest = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([logits.gather(-1, top), rest], dim=-1)


def labelled(tokens: Tokens) -> list[int]:
    """Labelled positions of each row."""
    assert tokens.labels is not None
    counts: list[int] = (tokens.labels != IGNORE).sum(1).tolist()
    return counts


def documents(tokens: Tokens) -> np.ndarray:
    """(N,) documents in each row."""
    if tokens.segments is None:
        return np.ones(len(tokens.ids), np.int64)
    return tokens.segments.amax(1).cpu().numpy()
