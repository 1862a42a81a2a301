"""A text leaves the encoder at the first layer whose own classifier is sure (DeeBERT, Xin et al. 2020).

As in the paper's second stage, the classifiers of the lower layers are fitted on the states of a student that is
trained already. They are logistic regressions on the pooled states of a layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from research.inference.export.graph import Graph
from research.models.pooling import pooled

BATCH = 64
LOSS = 0.005  # accuracy that may be lost on the development split
SURE = np.linspace(0.5, 0.995, 100)  # probabilities that may do


@dataclass(frozen=True)
class Examples:
    """Texts and classes, to fit classifiers and to choose how sure is sure enough."""

    train: tuple[list[str], np.ndarray]
    development: tuple[list[str], np.ndarray]


class EarlyExit:
    """The least probability that suffices is chosen on the development split.

    Args:
        graph: encoder, pooling and head.
        read: what makes tensors of texts.
        examples: of the task.
    """

    def __init__(self, graph: Graph, read: Any, examples: Examples) -> None:
        self.graph, self.read, self.base = graph, read, graph.base
        states = self._states(examples.train[0])
        self.exits = [self._fitted(layer, examples.train[1]) for layer in states[:-1]]
        self.sure = self._chosen(self._states(examples.development[0]), examples.development[1])
        self.left = [0] * (len(self.exits) + 1)  # texts that left at each layer

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> np.ndarray:
        batch = self.read(texts)
        hidden, mask = self._embedded(batch), batch["attention_mask"].bool()
        out, here = torch.empty(len(texts), self.graph.head.out_features), torch.arange(len(texts))
        for depth, layer in enumerate(self.base.encoder.layer):
            hidden = layer(hidden, mask[:, None, None])
            embedding = pooled(hidden, mask, self.graph.pooling)
            if depth == len(self.exits):
                out[here] = self.graph.head(embedding).softmax(-1)
                self.left[depth] += len(here)
                break
            probabilities = self.exits[depth](embedding).softmax(-1)
            sure = probabilities.amax(-1) >= self.sure
            out[here[sure]] = probabilities[sure]
            self.left[depth] += int(sure.sum())
            here, hidden, mask = here[~sure], hidden[~sure], mask[~sure]
            if not len(here):
                break
        return out.numpy()

    def _embedded(self, batch: dict[str, Tensor]) -> Tensor:
        return self.base.embeddings(batch["input_ids"], token_type_ids=batch["token_type_ids"])

    @torch.inference_mode()
    def _states(self, texts: list[str]) -> list[Tensor]:
        """The pooled states (N, H) of each layer."""
        parts = []
        for start in range(0, len(texts), BATCH):
            batch = self.read(texts[start : start + BATCH])
            hidden, mask = self._embedded(batch), batch["attention_mask"].bool()
            found = []
            for layer in self.base.encoder.layer:
                hidden = layer(hidden, mask[:, None, None])
                found.append(pooled(hidden, mask, self.graph.pooling))
            parts.append(found)
        return [torch.cat(layer) for layer in zip(*parts, strict=True)]

    def _fitted(self, states: Tensor, labels: np.ndarray) -> torch.nn.Linear:
        found = LogisticRegression(max_iter=1000).fit(states.numpy(), labels)
        linear = torch.nn.Linear(states.shape[1], len(found.classes_))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(found.coef_))
            linear.bias.copy_(torch.from_numpy(found.intercept_))
        return linear

    @torch.inference_mode()
    def _chosen(self, states: list[Tensor], labels: np.ndarray) -> float:
        """The least of ``SURE`` with which no more than ``LOSS`` of the accuracy is lost."""
        every = [exit_(layer) for exit_, layer in zip(self.exits, states, strict=False)] + [self.graph.head(states[-1])]
        probabilities = torch.stack(every).softmax(-1)
        sure, said = (each.numpy() for each in probabilities.max(-1))
        whole = (said[-1] == labels).mean()
        sure[-1] = 1.0
        for least in SURE:
            depth = (sure >= least).argmax(0)
            if (said[depth, np.arange(len(labels))] == labels).mean() >= whole - LOSS:
                return float(least)
        return 1.0
