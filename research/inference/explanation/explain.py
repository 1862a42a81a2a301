"""An answer with its reasons, as plain values."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from research.inference.attribution import occlusion
from research.inference.explanation import METHODS
from research.inference.explanation.attention import attention_maps, rollout
from research.inference.explanation.gradients import integrated_gradients
from research.inference.explanation.influence import Influence
from research.inference.explanation.reading import Piece, Reading, read
from research.inference.model import Model, Text

DIGITS = 6  # of weights in files


@dataclass(frozen=True)
class Explainer:
    """Explains answers of a task.

    Args:
        model: what answers, in evaluation mode.
        task: may be left out where there is one.
        method: one of :data:`METHODS`; ``attention`` is :func:`rollout`.
        steps: of integrated gradients.
        layers: also give the weights of the tokens' states in each layer.
        maps: also give each layer's attention, the mean of its heads.
        influence: the training examples to choose from; for a task of problem ``classify``.
        examples: how many of them to name for the answer, and as many against it.
    """

    model: Model
    task: str | None = None
    method: str = METHODS[0]
    steps: int = 64
    layers: bool = False
    maps: bool = False
    influence: Influence | None = None
    examples: int = 3

    def __call__(self, text: Text) -> dict[str, Any]:
        """What ``predict`` answers, and its reasons.

        ``tokens``, or ``words`` of occlusion: a dict each with ``text``, the characters ``start`` to ``end``, the
        ``field`` of a pair where it is the second, and its ``weight``. ``gap``: by how much integrated gradients miss
        the sum that they should have. ``layers`` (D + 1, L), ``attention`` (D, L, L) with ``read``, all L tokens, where
        asked for. ``for`` and ``against``: training examples with their ``influence``, the strongest first.

        Raises:
            UserError: for what cannot be explained.
        """
        record = {"text": text} if isinstance(text, str) else text
        task = self.model.task(self.task, "classify", "multilabel", "regress")
        answer = next(iter(self.model.predict([record], task)))
        kept = ("label", "labels", "value", "probabilities")
        found: dict[str, Any] = {key: answer[key] for key in kept if key in answer}
        if self.method == "occlusion":
            said = str(record["text"])
            found["words"] = [
                {"text": said[start:end], "start": start, "end": end, "weight": round(weight, DIGITS)}
                for start, end, weight in occlusion(self.model, said, task)
            ]
        if self.method != "occlusion" or self.layers or self.maps:
            found |= self._within(read(self.model, record, task), record)
        if self.influence is not None:
            found |= self.influence.strongest(str(record["text"]), answer["label"], self.examples)
        return found

    def _within(self, reading: Reading, record: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.method == "attention":
            found["tokens"] = shown(reading, rollout(self.model, reading), record)
        if self.method == "integrated-gradients":
            weights, gap = integrated_gradients(self.model, reading, steps=self.steps)
            found |= {"tokens": shown(reading, weights, record), "gap": round(gap, DIGITS)}
        if self.layers:
            depth = range(self.model.student.depth + 1)
            rows = [integrated_gradients(self.model, reading, layer, self.steps)[0] for layer in depth]
            found["layers"] = np.round(rows, DIGITS).tolist()
        if self.maps:
            found["attention"] = np.round(attention_maps(self.model, reading).mean(1).numpy(), DIGITS).tolist()
        if self.layers or self.maps:
            found["read"] = self.model.student.tokenizer.convert_ids_to_tokens(
                next(iter(reading.batch.views.values())).ids[0].tolist()
            )
        return found


def shown(reading: Reading, weights: np.ndarray, record: Any) -> list[dict[str, Any]]:
    """The tokens of a text or pair with their weights; those that frame it are left out."""
    pairs = [(p, w) for p, w in zip(reading.pieces, weights, strict=True) if p is not None]
    return [_token(piece, weight, record) for piece, weight in pairs]


def _token(piece: Piece, weight: float, record: Any) -> dict[str, Any]:
    field = {} if piece.field == "text" else {"field": piece.field}
    place = {"text": record[piece.field][piece.start : piece.end], "start": piece.start, "end": piece.end}
    return {**place, **field, "weight": round(float(weight), DIGITS)}
