"""Encoder, pooling and head as one module of tensors, for programs without Transformers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from research.inference.export.given import Given
from research.inference.export.plain import plain
from research.models.pooling import pooled

WITHIN = 1e-4  # of logits and embeddings, beside the largest of them


class Graph(nn.Module):
    """Ids, mask and, where the student has them, types of texts, (N, L) int64, to logits (N, C) or embeddings (N, H).

    Logits of a regression are values in the unit of its labels.
    """

    def __init__(self, given: Given) -> None:
        super().__init__()
        student, model = given.student, plain(given.student)
        base: Any = model.get_encoder() if student.family.name == "encoder-decoder" else model.base_model
        self.base, self.pooling, self.norm = base, student.pooling, student.embedding_norm
        self.head = None if given.head is None else _in_units(given)
        self.inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if student.has_types else [])]
        self.output = "sentence_embedding" if self.head is None else "logits"  # unlike any node of the graph
        self.labels = [] if given.info is None or self.head is None else list(given.info.labels)
        self.what = "embeddings" if self.head is None else "logits"
        self.eval().requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out = self.base(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_hidden_states=self.pooling == "first_last",
            **types,
        )
        states = out.last_hidden_state
        if self.pooling == "first_last":
            states = (out.hidden_states[1] + states) / 2
        embedding = pooled(states, attention_mask.bool(), self.pooling)
        if self.norm is not None:
            embedding = self.norm * F.normalize(embedding, dim=-1)
        return embedding if self.head is None else self.head(embedding)


def _in_units(given: Given) -> nn.Linear:
    """The head, which gives what is regressed in the unit of the labels."""
    head = given.head
    assert head is not None
    mean, deviation = given.in_units
    made = nn.Linear(head.in_features, head.out_features, dtype=head.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(deviation * head.weight)
        made.bias.copy_(deviation * head.bias + mean)
    return made


def example(graph: Graph) -> tuple[tuple[Tensor, ...], dict[str, dict[int, Any]]]:
    """Inputs to trace the graph with, and which of their axes are of any size."""
    torch.manual_seed(0)
    ids = torch.randint(5, 50, (2, 7))
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    texts, length = torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC
    return tuple(made[name] for name in graph.inputs), {name: {0: texts, 1: length} for name in graph.inputs}
