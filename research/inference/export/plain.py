"""The student in classes of Transformers alone, without what training put into them."""

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from research.models.student import Student

OURS_TO_BERT = {  # names of weights, part by part
    r"^transformer\.": "bert.",
    r"attention\.(query|key|value)\.": r"attention.self.\1.",
    r"attention\.output\.": "attention.output.dense.",
    r"attention_norm\.": "attention.output.LayerNorm.",
    r"feed_forward\.inner\.": "intermediate.dense.",
    r"feed_forward\.outer\.": "output.dense.",
    r"output_norm\.": "output.LayerNorm.",
}


@torch.no_grad()
def plain(student: "Student") -> "PreTrainedModel":
    """The language model of a student, in eval mode; ``hybrid_transformer`` becomes the BERT that it is a twin of."""
    model: Any = student.model
    twin = model.config.model_type == "hybrid_transformer"
    made: Any = _bert(model.config) if twin else type(model)(type(model.config).from_dict(model.config.to_dict()))
    made.load_state_dict(_of_bert(model) if twin else model.state_dict())
    if made.can_generate():
        made.generation_config = model.generation_config
    return made.to(model.dtype).eval()


@torch.no_grad()
def filled(made: Any, model: Any) -> Any:
    """A model of Transformers with the base of another; what that base has not is zero."""
    lacking = {name: torch.zeros_like(value) for name, value in made.base_model.state_dict().items()}
    made.base_model.load_state_dict(lacking | model.base_model.state_dict())
    return made.to(model.dtype).eval()


def _bert(config: Any) -> "PreTrainedModel":
    from transformers import BertConfig, BertForMaskedLM

    shared = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
              "max_position_embeddings", "hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps",
              "initializer_range", "pad_token_id", "bos_token_id", "eos_token_id")  # fmt: skip
    return BertForMaskedLM(
        BertConfig(
            **{name: getattr(config, name) for name in shared},
            type_vocab_size=config.type_vocab_size or 1,
            tie_word_embeddings=config.positions == "learned",
        )
    )


def _of_bert(model: Any) -> dict[str, Tensor]:
    """The weights under BERT's names. What sinusoidal positions multiply words by goes into the words."""
    named = dict[str, Tensor]()
    for name, value in model.state_dict().items():
        for ours, theirs in OURS_TO_BERT.items():
            name = re.sub(ours, theirs, name)
        named[name] = value
    embeddings, start = model.transformer.embeddings, "bert.embeddings."
    if embeddings.sinusoidal:
        named[f"{start}position_embeddings.weight"] = embeddings.position_table
        named[f"{start}word_embeddings.weight"] = embeddings.word_embeddings.weight * embeddings.scale
    if embeddings.token_type_embeddings is None:
        named[f"{start}token_type_embeddings.weight"] = torch.zeros(1, model.config.hidden_size)
    named["cls.predictions.bias"] = named["cls.predictions.decoder.bias"]
    return named
