"""A task's head as a classifier that Transformers has: the same function in the weights of one of its own classes.

Our head is linear in an embedding that is pooled from token states. Transformers' classes read the first token through
a tanh (BERT, RoBERTa), or a mean through a norm (ModernBERT), or the last token without a bias (GPT-2). A tanh of small
values is their identity, and so is a norm of small values beside large ones, to the rounding of float32; attention
without queries is a mean. So each head is written exactly, where there is a class that pools alike or a layer to pool.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference.export.plain import filled

TANH = 2.0**-16  # what logits are multiplied by before a tanh
BESIDE = 2.0**14  # the values beside which logits are small to a norm
STATES = 2.0**-24  # what the states under a mean are multiplied by, so that nothing of them is left in it
PROBLEMS = {
    "classify": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regress": "regression",
}


class Head(NamedTuple):
    """``scale * (weight e + bias) + shift`` of an embedding e (H,): weight (C, H), bias (C,)."""

    weight: Tensor
    bias: Tensor
    scale: float
    shift: float


@torch.no_grad()
def classifier(model: Any, linear: nn.Linear, info: StreamInfo, pooling: str) -> Any:
    """A model of Transformers for sequence classification, whose base is that of a language model.

    Args:
        model: the language model.
        linear: the head, (C, H), over the embedding.
        info: of the task; what it regresses is given in the unit of its labels.
        pooling: how the embedding is pooled.

    Raises:
        UserError: if there is no class of Transformers for it.
    """
    kind = model.config.model_type
    if (kind, pooling) not in WAYS:
        lack = f"Transformers has no classifier over {kind} pooled by {pooling}"
        raise UserError(f"--format transformers: {lack}; use --format onnx, torch or sentence-transformers")
    pairs, width = len(linear.bias), len(linear.weight[0])
    if 2 * pairs + 2 > width:
        raise UserError(f"--format transformers: {pairs} labels are too many for {width} units; use --format onnx")
    config = type(model.config).from_dict(model.config.to_dict())
    labels = info.labels or ("value",)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: i for i, label in enumerate(labels)}
    config.problem_type = PROBLEMS[info.problem]
    mean, deviation = info.scale if info.problem == "regress" else (0.0, 1.0)
    head = Head(linear.weight.double(), linear.bias.double(), deviation, mean)
    return WAYS[kind, pooling](model, config, head, pooling).eval()


def _through_tanh(model: Any, config: Any, head: Head, pooling: str) -> Any:
    """BERT and RoBERTa: the first token's state, a linear map, a tanh and another one."""
    weight, bias = head.weight, head.bias
    if pooling == "mean":
        config.num_hidden_layers += 1
    made = filled(AutoModelForSequenceClassification.from_config(config), model)
    if pooling == "mean":
        weight, bias = _averaging(made.base_model.encoder.layer, head)
    bert = hasattr(made, "bert")
    inner, outer = (
        (made.bert.pooler.dense, made.classifier) if bert else (made.classifier.dense, made.classifier.out_proj)
    )
    count = len(bias)
    _fill(inner, TANH * weight, TANH * bias)
    _fill(outer, head.scale / TANH * torch.eye(count), torch.full((count,), head.shift))
    return made


def _averaging(layers: Any, head: Head) -> tuple[Tensor, Tensor]:
    """Make a last layer whose states are the logits of the mean of those below; returns what reads them (C, H), (C,).

    Queries of zero look at all tokens alike; values are each token's logits, which the layer gives twice, once with
    the other sign, beside large constants.
    """
    below, layer = layers[-2], layers[-1]
    for part in (below.output.LayerNorm.weight, below.output.LayerNorm.bias):
        part.mul_(STATES)
    width = head.weight.shape[1]
    for map_ in (layer.attention.self.query, layer.attention.self.key, layer.intermediate.dense, layer.output.dense):
        _fill(map_, torch.zeros(0, 0), torch.zeros(0))
    _fill(layer.attention.self.value, head.weight / STATES, head.bias)
    twice, beside, spread = _beside(len(head.bias), width)
    _fill(layer.attention.output.dense, twice, beside)
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(spread)
        norm.bias.zero_()
    return twice.T / 2, torch.zeros(len(head.bias))


def _through_norm(model: Any, config: Any, head: Head, pooling: str) -> Any:
    """ModernBERT: the pooled state, a linear map, a norm and another map."""
    config.classifier_pooling = {"mean": "mean", "first": "cls"}[pooling]
    config.classifier_bias, config.classifier_activation = True, "linear"
    made = filled(AutoModelForSequenceClassification.from_config(config), model)
    twice, beside, spread = _beside(len(head.bias), head.weight.shape[1])
    _fill(made.head.dense, twice @ head.weight, twice @ head.bias + beside)
    made.head.norm.weight.fill_(spread)
    if made.head.norm.bias is not None:
        made.head.norm.bias.zero_()
    _fill(made.classifier, head.scale * twice.T / 2, torch.full((len(head.bias),), head.shift))
    return made


def _beside(count: int, width: int) -> tuple[Tensor, Tensor, float]:
    """What lets logits through a norm: a map (width, count) to themselves and their negatives, a bias (width,) of large
    constants in the places left, and the constants' standard deviation, the weight that undoes the norm.

    The sum of all is zero, and what rounding makes of it goes out when the negatives are taken from the logits.
    """
    one = torch.eye(count, dtype=torch.float64)
    twice = torch.cat([one, -one, one.new_zeros(width - 2 * count, count)])
    beside, places = one.new_zeros(width), (width - 2 * count) // 2 * 2
    beside[2 * count : 2 * count + places : 2] = BESIDE
    beside[2 * count + 1 : 2 * count + places : 2] = -BESIDE
    return twice, beside, BESIDE * math.sqrt(places / width)


def _at_the_end(model: Any, config: Any, head: Head, pooling: str) -> Any:
    """GPT-2: a map of the last token's state without a bias, which that of the last norm can stand for."""
    made = filled(AutoModelForSequenceClassification.from_config(config), model)
    weight, offset = head.scale * head.weight, head.scale * head.bias + head.shift
    made.score.weight.copy_(weight)
    made.transformer.ln_f.bias.add_(torch.linalg.lstsq(weight, offset[:, None], driver="gelsd").solution[:, 0])
    return made


def _fill(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Put a map into the first rows and columns of a larger one, all else of which is zero."""
    linear.weight.zero_()
    linear.bias.zero_()
    rows, columns = weight.shape
    linear.weight[:rows, :columns] = weight
    linear.bias[: len(bias)] = bias


WAYS: dict[tuple[str, str], Callable[[Any, Any, Head, str], Any]] = {
    **{(kind, how): _through_tanh for kind in ("bert", "roberta", "xlm-roberta") for how in ("mean", "first")},
    **{("modernbert", how): _through_norm for how in ("mean", "first")},
    ("gpt2", "last"): _at_the_end,
}
