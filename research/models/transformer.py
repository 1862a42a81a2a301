"""A small Transformer encoder written from its formulas; Transformers knows it as ``hybrid_transformer``."""

import math
from collections import OrderedDict
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

from research.errors import UserError


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, eq. 1).

    Args:
        q: queries (B, heads, L, d).
        k: keys (B, heads, S, d).
        v: values (B, heads, S, d).
        mask: bool, broadcastable to (B, heads, L, S), true where a query may look. A query without any
            key gets zeros.
        dropout: rate at which weights are dropped, in [0, 1).

    Returns:
        (B, heads, L, d).
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # -inf gives NaN in an empty row
    out = F.dropout(scores.softmax(-1), dropout) @ v
    return out if mask is None else out.masked_fill(~mask.any(-1, keepdim=True), 0.0)


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Position table (length, width): sin(t / 10000^(2i / width)) at column 2i, cos of it at 2i + 1.

    Vaswani et al. 2017, section 3.5. In the default dtype.
    """
    time = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    angle = time * 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    table = torch.empty(length, width, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = angle.sin(), angle[:, : width // 2].cos()
    return table.to(torch.get_default_dtype())


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis, var biased (Ba et al. 2016)."""

    def __init__(self, width: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


class HybridTransformerConfig(PretrainedConfig):
    """Settings of the encoder, named as BERT's.

    ``hidden_dropout_prob`` and ``attention_probs_dropout_prob`` are other names of ``dropout``;
    ``type_vocab_size`` is 0 for a model without token types.

    Raises:
        UserError: if settings do not fit together.
    """

    model_type = "hybrid_transformer"
    attribute_map: ClassVar = {"hidden_dropout_prob": "dropout", "attention_probs_dropout_prob": "dropout"}

    vocab_size: int = 30522
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    max_position_embeddings: int = 512
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        key, heads = "model.student: architecture", f"num_attention_heads {self.num_attention_heads}"
        if self.hidden_size % self.num_attention_heads:
            raise UserError(f"{key}.hidden_size {self.hidden_size} is no multiple of {heads}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"{key}.dropout is {self.dropout}; it must lie in [0, 1)")
        if self.positions not in ("sinusoidal", "learned"):
            raise UserError(f"{key}.positions is {self.positions}; it must be sinusoidal or learned")


class MultiHeadAttention(nn.Module):
    """Self-attention in several subspaces (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, H) and a mask as in :func:`attention` to (B, L, H)."""
        projected = self.query(hidden), self.key(hidden), self.value(hidden)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in projected)
        mixed = attention(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.output(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """W2 gelu(W1 x + b1) + b2 with the exact gelu (Hendrycks & Gimpel 2016)."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        return self.outer(F.gelu(self.inner(hidden)))


class TransformerLayer(GradientCheckpointingLayer):
    """Attention and feed-forward, each with dropout, a residual and then the norm, as in BERT (post-norm)."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        self.attention, self.feed_forward = MultiHeadAttention(config), FeedForward(config)
        self.attention_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.output_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, H) and a mask as in :func:`attention` to (B, L, H)."""
        hidden = self.attention_norm(hidden + self.dropout(self.attention(hidden, mask)))
        return self.output_norm(hidden + self.dropout(self.feed_forward(hidden)))


class Embeddings(nn.Module):
    """LayerNorm(word + position + type).

    Beside sines, words are scaled by sqrt(H), or they would be lost (Vaswani et al. 2017, section 3.4).
    """

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        width, types = config.hidden_size, config.type_vocab_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(types, width) if types else None
        self.sinusoidal = config.positions == "sinusoidal"
        self.scale = math.sqrt(width) if self.sinusoidal else 1.0
        if self.sinusoidal:
            table = sinusoidal_positions(config.max_position_embeddings, width)
            self.position_table = nn.Buffer(table, persistent=False)
        else:
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.LayerNorm = LayerNorm(width, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, types: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """Ids, types and places (B, L) to (B, L, H); without types all are 0, without places they count from 0."""
        table = self.position_table if self.sinusoidal else self.position_embeddings.weight
        out = self.word_embeddings(ids) * self.scale + (table[: ids.shape[1]] if places is None else table[places])
        if self.token_type_embeddings is not None:
            out = out + self.token_type_embeddings(torch.zeros_like(ids) if types is None else types)
        return self.dropout(self.LayerNorm(out))


class Encoder(nn.Module):
    """The stack of layers, where BERT has it."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_hidden_layers))


class HybridPreTrainedModel(PreTrainedModel):
    """What the headless model and the language model share: configuration, initial weights, loading."""

    config: HybridTransformerConfig
    config_class = HybridTransformerConfig
    base_model_prefix = "transformer"
    _input_embed_layer = "word_embeddings"
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # it reads the boolean masks of that interface

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Embeddings) and module.sinusoidal:  # not saved: from_pretrained fills it here
            init.copy_(module.position_table, sinusoidal_positions(*module.position_table.shape))


class HybridTransformerModel(HybridPreTrainedModel):
    """The encoder without a head."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__(config)
        self.embeddings, self.encoder = Embeddings(config), Encoder(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        position_ids: Tensor | None = None,
    ) -> BaseModelOutput:
        """Ids, types, positions and mask (B, L), the mask true at real tokens, to ``last_hidden_state`` (B, L, H).

        A mask (B, 1, L, L) is true where a token may look. ``hidden_states`` are the embeddings and layers' outputs.
        """
        if attention_mask is not None and attention_mask.ndim == 2:
            attention_mask = attention_mask.bool()[:, None, None]
        hidden = self.embeddings(input_ids, token_type_ids, position_ids)
        states = [hidden]
        for layer in self.encoder.layer:
            hidden = layer(hidden, attention_mask)
            if output_hidden_states:
                states.append(hidden)
        return BaseModelOutput(hidden, tuple(states) if output_hidden_states else None)


class Predictions(nn.Module):
    """BERT's masked-language-model head: ``transform`` (dense, gelu, norm), then the tied ``decoder``."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        parts = OrderedDict(dense=nn.Linear(width, width), gelu=nn.GELU(), LayerNorm=LayerNorm(width, eps))
        self.transform = nn.Sequential(parts)
        self.decoder = nn.Linear(width, config.vocab_size)


class Head(nn.Module):
    """The name under which BERT keeps its predictions."""

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)


class HybridTransformerForMaskedLM(HybridPreTrainedModel):
    """The encoder with BERT's head, laid out as in ``BertForMaskedLM``; the decoder is the embedding."""

    _tied_weights_keys: ClassVar = {  # type: ignore[misc]
        "cls.predictions.decoder.weight": "transformer.embeddings.word_embeddings.weight"
    }

    def __init__(self, config: HybridTransformerConfig) -> None:
        super().__init__(config)
        self.transformer, self.cls = HybridTransformerModel(config), Head(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.cls.predictions.decoder = new_embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> MaskedLMOutput:
        """``logits`` (B, L, V), and ``loss``, the mean cross entropy of labels (B, L), -100 where there is no loss."""
        out = self.transformer(input_ids, attention_mask, token_type_ids, output_hidden_states)
        logits = self.cls.predictions.decoder(self.cls.predictions.transform(out.last_hidden_state))
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


def register() -> None:
    """Make the model known by its name to the ``Auto`` classes. A second call changes nothing."""
    AutoConfig.register("hybrid_transformer", HybridTransformerConfig, exist_ok=True)
    AutoModel.register(HybridTransformerConfig, HybridTransformerModel, exist_ok=True)
    AutoModelForMaskedLM.register(HybridTransformerConfig, HybridTransformerForMaskedLM, exist_ok=True)


register()
