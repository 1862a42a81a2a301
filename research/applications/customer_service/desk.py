"""The desk: what it replies to a message, for the terminal and for a page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.applications.customer_service.faq import Entry, Index, faq
from research.applications.customer_service.scoring import labelled
from research.applications.customer_service.splits import Messages
from research.applications.customer_service.training import folder_of, settings
from research.errors import UserError
from research.inference import Model, load
from research.inference.decisions.decisions import OUTSIDE

REFUSAL = "I am sorry, that is nothing that I can help with here. I know about cards, transfers, top-ups and accounts."
UNSURE = "I am not sure that I have understood. Is it one of these?"
CLOSEST = 3  # questions that are offered instead


class Desk:
    """Answers messages, each by itself.

    Args:
        model: with decisions that know what is out of scope.
        entries: of the FAQ, by the intents that the model knows.
        examples: labelled messages that entries are found by, beside their questions.
    """

    def __init__(self, model: Model, entries: dict[str, Entry], examples: Messages) -> None:
        self.model, self.entries = model, entries
        self.decisions = model.decisions[model.task()]
        _, rows = model.scores([entry.question for entry in entries.values()] + [text for text, _ in examples])
        questions = dict(zip(entries, rows, strict=False))
        self.index = Index(questions, examples, rows[len(entries) :])

    def replies(self, messages: Sequence[str]) -> list[dict[str, Any]]:
        """To each ``text`` for the customer, with ``intent`` (or none), ``confidence`` in [0, 1], ``in_scope``, and the
        ``entry`` of the FAQ that answers with its ``similarity``; or else the ``closest`` questions.
        """
        logits, embeddings = self.model.scores(messages)
        answers = self.decisions.answers(logits, embeddings)
        return [self._reply(answer, embedding) for answer, embedding in zip(answers, embeddings, strict=True)]

    def _reply(self, answer: dict[str, Any], embedding: np.ndarray) -> dict[str, Any]:
        nearest = self.index.nearest(embedding, CLOSEST)
        told = {
            "intent": answer["label"],
            "confidence": max(answer["probabilities"].values()),
            "in_scope": answer.get("in_scope", True),
        }
        if answer.get("reason") == OUTSIDE:
            return {**told, "text": REFUSAL}
        if answer["label"] is None:
            return {**told, "text": UNSURE, "closest": [self.entries[intent].question for intent, _ in nearest]}
        intent, similarity = nearest[0]
        entry = self.entries[intent]
        return {**told, "text": entry.answer, "entry": entry.question, "similarity": similarity}


def desk(seed: int = 0, device: str = "cpu") -> Desk:
    """The desk of the deployed arm of a seed, trained and calibrated by ``run``, on a device.

    Raises:
        UserError: if it has not been trained.
    """
    arm = settings()["deployed"]
    folder = folder_of(seed) / arm
    if not (folder / "decisions.json").exists():
        raise UserError(f"{folder}: no calibrated run; give the command run first")
    model = load(folder, device)
    model.student.tokenizer.backend_tokenizer.encode_special_tokens = True  # what a customer types is text
    known = model.streams[model.task()].labels
    return Desk(model, {intent: faq()[intent] for intent in known}, labelled(seed)["train"])
