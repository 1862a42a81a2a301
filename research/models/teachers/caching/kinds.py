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
Columns = Mapping[str, Tensor]
"""The cells of N rows, end to end, by column."""


class Kind(ABC):
    """Equal kinds share a table, whose folder has their name."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        """What to keep of an answer to ``tokens``, by column: that of N rows end to end, and the size (N,) of each."""

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        """What to keep of an answer, by row; what all rows share goes into ``folder``."""
        kept = {name: flat.cpu().split(list(sizes)) for name, (flat, sizes) in self.kept(answer, tokens).items()}
        return [
            {name: part.numpy() for name, part in zip(kept, row, strict=True)}
            for row in zip(*kept.values(), strict=True)
        ]


@dataclass(frozen=True)
class Classes(Kind):
    """Logits in float32: few numbers a text. ``probe`` is a digest of the examples that the task was learnt from."""

    task: str
    probe: str = ""

    @property
    def name(self) -> str:
        return "-".join(filter(None, ("classes", self.task, self.probe)))

    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        logits = answer.class_logits(self.task).float()
        return {"logits": (logits.flatten(), (documents(tokens) * logits.shape[1]).tolist())}

    def logits(self, columns: Columns, tokens: Tokens) -> Tensor:
        """(N, C), a row a document where several are packed in one."""
        return columns["logits"].view(int(documents(tokens).sum()), -1)


@dataclass(frozen=True)
class Embeddings(Kind):
    """Pooled states, in half precision."""

    name = "embeddings"

    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        pooled = answer.embedding().to(torch.float16)
        return {"embedding": (pooled.flatten(), (documents(tokens) * pooled.shape[1]).tolist())}

    def embedding(self, columns: Columns, tokens: Tokens) -> Tensor:
        """(N, H), a row a document where several are packed in one."""
        return columns["embedding"].float().view(int(documents(tokens).sum()), -1)


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

    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        head = Witness(answer).seen
        parts = [self._top(part, head) for part in head.features.split(CHUNK)]
        top, log_p = (torch.cat(part) for part in zip(*parts, strict=True))
        counts = labelled(tokens)
        of_each = [self.k * count for count in counts]
        return {
            "token": (top.to(narrowest(len(head.weight))).flatten(), of_each),
            "log_probability": (log_p[:, :-1].to(torch.float16).flatten(), of_each),
            "log_rest": (log_p[:, -1], counts),
        }

    def divergence(self, columns: Columns, head: VocabularyHead, loss: RowLoss) -> Tensor:
        """Mean over positions, between distributions over k + 1 outcomes."""
        top = columns["token"].long().view(-1, self.k)
        log_p = columns["log_probability"].float().view(-1, self.k)
        log_p = torch.cat([log_p, columns["log_rest"][:, None]], dim=1)

        def one(mine: Tensor, top: Tensor, theirs: Tensor) -> Tensor:
            return loss(collapsed(mine / self.temperature, top), theirs)

        return head.mean(one, *(part.to(head.features.device) for part in (top, log_p)))

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

    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        features = Witness(answer).seen.features.to(torch.float16)
        return {"feature": (features.flatten(), [features.shape[1] * count for count in labelled(tokens)])}

    def layer(self, answer: Answer) -> dict[str, Tensor]:
        """The teacher's output layer: ``weight`` (V, H), and ``bias`` (V,) if it has one."""
        head = Witness(answer).seen
        return {"weight": head.weight} if head.bias is None else {"weight": head.weight, "bias": head.bias}

    def cells(self, answer: Answer, tokens: Tokens, folder: Path) -> list[Cells]:
        path = folder / OUTPUT
        if not path.exists():
            layer = {name: part.detach().cpu().contiguous() for name, part in self.layer(answer).items()}
            with explained(folder):
                building = path.with_suffix(f".building-{os.getpid()}")
                save_file(layer, building)
                building.replace(path)
        return super().cells(answer, tokens, folder)

    def head(self, columns: Columns, layer: Mapping[str, Tensor]) -> VocabularyHead:
        """The teacher's head at the labelled positions."""
        weight = layer["weight"]
        features = columns["feature"].to(weight).view(-1, weight.shape[1])
        return VocabularyHead(features, weight, layer.get("bias"))


@dataclass(frozen=True)
class States(Kind):
    """Hidden states of all real tokens, in half precision."""

    name = "states"

    def kept(self, answer: Answer, tokens: Tokens) -> dict[str, tuple[Tensor, Sequence[int]]]:
        hidden, memory = answer.encoded.hidden, answer.encoded.memory
        longest, written = ends(tokens)

        def halves(states: Tensor, stops: np.ndarray) -> tuple[Tensor, Sequence[int]]:
            real = states[before(stops, states.shape[1], states.device)].to(torch.float16)
            return real.flatten(), (stops * states.shape[2]).tolist()

        beside = longest if memory is not hidden else np.zeros_like(longest)
        return {"hidden": halves(hidden, written), "memory": halves(memory, beside)}

    def encoded(self, columns: Columns, tokens: Tokens) -> Encoded:
        longest, written = ends(tokens)
        width = len(columns["hidden"]) // int(written.sum())

        def padded(name: str, stops: np.ndarray, length: int) -> Tensor:
            states = columns[name].to(tokens.ids.device, torch.float32).view(-1, width)
            out = states.new_zeros(len(stops), length, width)
            out[before(stops, length, out.device)] = states
            return out

        if tokens.decoder_ids is None:
            hidden = padded("hidden", written, tokens.ids.shape[1])
            return Encoded(hidden, hidden, tokens)
        hidden = padded("hidden", written, tokens.decoder_ids.shape[1])
        return Encoded(hidden, padded("memory", longest, tokens.ids.shape[1]), tokens)


def collapsed(logits: Tensor, top: Tensor) -> Tensor:
    """Logits (m, V) over a vocabulary to those (m, k + 1) of k + 1 outcomes: the tokens ``top`` (m, k), or another."""
    rest = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([logits.gather(-1, top), rest], dim=-1)


def before(stops: np.ndarray, length: int, device: torch.device) -> Tensor:
    """(N, length) bool: the places before the stop (N,) of their row."""
    return torch.arange(length, device=device) < torch.from_numpy(stops).to(device)[:, None]


def narrowest(outcomes: int) -> torch.dtype:
    """The type of least bytes that has so many values, from 0 on."""
    types = (torch.uint8, torch.uint16, torch.uint32)
    return next(narrow for narrow in types if outcomes <= 2 ** (8 * narrow.itemsize))


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
