"""What can be kept of an answer: class logits, the likeliest tokens, hidden states. Each kind is a table of rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from research.data.batch import IGNORE, Tokens
from research.models.heads import VocabularyHead
from research.models.teachers.caching.rows import ends
from research.models.teachers.caching.table import Cells
from research.models.teachers.teacher import Answer
from research.step import Encoded

Columns = Mapping[str, Sequence[np.ndarray]]
"""The cells of N rows, by column."""


class Kind(ABC):
    """Equal kinds share a table, whose folder has their name."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def cells(self, answer: Answer, tokens: Tokens, vocabulary: int) -> list[Cells]:
        """What to keep of an answer to ``tokens``, by row; ``vocabulary`` counts the outputs of the students' head."""


@dataclass(frozen=True)
class Classes(Kind):
    """Logits in float32: few numbers a text. ``probe`` is a digest of the examples that the task was learnt from."""

    task: str
    probe: str = ""

    @property
    def name(self) -> str:
        return "-".join(filter(None, ("classes", self.task, self.probe)))

    def cells(self, answer: Answer, tokens: Tokens, vocabulary: int) -> list[Cells]:
        logits = answer.class_logits(self.task).float().cpu().numpy()
        return [{"logits": part.ravel()} for part in np.split(logits, np.cumsum(documents(tokens))[:-1])]

    def logits(self, columns: Columns, tokens: Tokens) -> Tensor:
        """(N, C), a row a document where several are packed in one."""
        flat = np.concatenate(columns["logits"])
        return torch.from_numpy(flat.reshape(int(documents(tokens).sum()), -1))


@dataclass(frozen=True)
class TopTokens(Kind):
    """At each labelled position the k likeliest tokens at a temperature, and what all others have together.

    Log-probabilities are in half precision: the likelier a token, the smaller is its error.
    """

    temperature: float
    k: int

    @property
    def name(self) -> str:
        return f"tokens-{self.temperature:g}"

    def cells(self, answer: Answer, tokens: Tokens, vocabulary: int) -> list[Cells]:
        assert tokens.labels is not None
        counts = (tokens.labels != IGNORE).sum(1).tolist()
        parts: list[tuple[Tensor, Tensor]] = []

        def look(_: Tensor, logits: Tensor) -> Tensor:
            log_p = logits.float().log_softmax(-1)
            top = log_p.topk(self.k).indices
            parts.append((top, collapsed(log_p, top)))
            return logits.new_zeros(len(logits))

        device = tokens.ids.device
        features, weight = (torch.zeros(n, 1, device=device) for n in (sum(counts), vocabulary))
        blank = VocabularyHead(features, weight, None)  # the loss reads the teacher's logits alone
        answer.divergence(blank, look, self.temperature)
        top = torch.cat([p for p, _ in parts]) if parts else torch.zeros(0, self.k)
        log_p = torch.cat([p for _, p in parts]) if parts else torch.zeros(0, self.k + 1)
        narrow = np.min_scalar_type(vocabulary - 1)
        rows = zip(top.cpu().split(counts), log_p.cpu().split(counts), strict=True)
        return [
            {
                "token": t.numpy().astype(narrow).ravel(),
                "log_probability": p[:, :-1].numpy().astype(np.float16).ravel(),
                "log_rest": p[:, -1].numpy().astype(np.float32),
            }
            for t, p in rows
        ]

    def outcomes(self, columns: Columns) -> tuple[Tensor, Tensor]:
        """Tokens (M, k), and the logits (M, k + 1) of these and of the rest."""
        top = np.concatenate(columns["token"]).astype(np.int64).reshape(-1, self.k)
        log_p = np.concatenate(columns["log_probability"]).astype(np.float32).reshape(-1, self.k)
        rest = np.concatenate(columns["log_rest"])[:, None]
        return torch.from_numpy(top), torch.from_numpy(np.concatenate([log_p, rest], 1))


@dataclass(frozen=True)
class States(Kind):
    """Hidden states of all real tokens, in half precision."""

    name = "states"

    def cells(self, answer: Answer, tokens: Tokens, vocabulary: int) -> list[Cells]:
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


def documents(tokens: Tokens) -> np.ndarray:
    """(N,) documents in each row."""
    if tokens.segments is None:
        return np.ones(len(tokens.ids), np.int64)
    return tokens.segments.amax(1).cpu().numpy()
