"""An answer from the FAQ: the entry whose question, or whose example, is nearest to the message."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from research.applications.customer_service.splits import Messages
from research.errors import UserError
from research.inference.neighbours import unit

FAQ = Path(__file__).with_name("faq.jsonl")


@dataclass(frozen=True)
class Entry:
    """A question as a customer asks it, and what to answer."""

    intent: str
    question: str
    answer: str


@cache
def faq(path: Path = FAQ) -> dict[str, Entry]:
    """The entries by their intents.

    Raises:
        UserError: naming the line that is no entry.
    """
    entries = dict[str, Entry]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = Entry(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}:{number}: not an entry of the FAQ: {error}") from None
        if entry.intent in entries:
            raise UserError(f"{path}:{number}: intent {entry.intent} has an entry already")
        entries[entry.intent] = entry
    return entries


class Index:
    """Embeddings of the questions of some intents and of labelled messages, to find the intents of others by.

    Args:
        questions: the embedding (H,) of each intent's question.
        messages: labelled messages; those of other intents are passed over.
        embeddings: theirs, (N, H).
    """

    def __init__(self, questions: Mapping[str, np.ndarray], messages: Messages, embeddings: np.ndarray) -> None:
        kept = [i for i, (_, intent) in enumerate(messages) if intent in questions]
        self.intents = list(questions)
        rows = np.concatenate([np.stack(list(questions.values())), embeddings[kept]])
        self.rows = unit(rows)
        owners = [*self.intents, *(messages[i][1] for i in kept)]
        self.owners = np.array([self.intents.index(intent) for intent in owners])

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        """Of embeddings (N, H) the cosine with the nearest row of each intent (N, intents)."""
        cosines = unit(embeddings) @ self.rows.T
        return np.stack([cosines[:, self.owners == c].max(1) for c in range(len(self.intents))], axis=1)

    def nearest(self, embedding: np.ndarray, count: int) -> list[tuple[str, float]]:
        """The intents nearest to an embedding (H,), with their cosines."""
        similarity = self.similarities(embedding[None])[0]
        return [(self.intents[i], float(similarity[i])) for i in np.argsort(-similarity)[:count]]

    def ranks(self, embeddings: np.ndarray, intents: Sequence[str]) -> np.ndarray:
        """The place, from 1, of the right intent among all, of each of N messages (N,)."""
        similarity = self.similarities(embeddings)
        right = [self.intents.index(intent) for intent in intents]
        return 1 + (similarity > similarity[np.arange(len(right)), right][:, None]).sum(1)
