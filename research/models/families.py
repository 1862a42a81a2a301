"""Encoder, decoder and encoder-decoder: all that differs between them, so that objectives need not ask."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from research.data.batch import IGNORE, Example, Row, Tokens
from research.data.vocabulary import Vocabulary
from research.errors import UserError
from research.models.packed import masks, visible

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Family(ABC):
    """How a family lays out an example and where its hidden states and layers are. Has no state."""

    name: str
    auto_class: str
    default_pooling: str
    framing: tuple[str, ...] = ("end",)  # the special tokens, as Vocabulary names them, that frame() needs

    @abstractmethod
    def frame(self, example: Example, vocabulary: Vocabulary) -> Row:
        """Add the special tokens of one text or a pair."""

    @abstractmethod
    def conditional(self, example: Example, vocabulary: Vocabulary) -> Row:
        """Lay out source and target, with a loss on the target and its end alone."""

    @abstractmethod
    def cloze(self, before: np.ndarray, after: np.ndarray, vocabulary: Vocabulary) -> Row:
        """Lay out a text with one gap; the only label, whatever it is, stands where the gap is predicted."""

    @abstractmethod
    def hidden(self, model: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """``(hidden, memory)`` as :class:`research.step.Encoded` defines them."""

    @abstractmethod
    def stacks(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        """``(owner, attribute)`` of each list of layers."""

    def lm_transform(self, model: nn.Module) -> Callable[[Tensor], Tensor] | None:
        """What lies between the last hidden state and the output embedding, or none."""
        return None

    def input_embedding(self, model: nn.Module) -> nn.Module:
        """What looks up ``tokens.ids``, (N, L) to (N, L, E)."""
        m: Any = model
        return m.get_input_embeddings()

    def overhead(self, pair: bool) -> int:
        """How many special tokens :meth:`frame` adds."""
        return 3 if pair else 2


def join(*parts: "np.ndarray | list[int] | None") -> np.ndarray:
    """One row of the parts that are there."""
    return np.concatenate([np.asarray(p, dtype=np.int64) for p in parts if p is not None])


def layers_of(model: nn.Module) -> tuple[nn.Module, str]:
    """The owner and attribute of the one list of layers of a model, under the names that Transformers uses.

    Raises:
        UserError: for a model that keeps its layers otherwise, such as ALBERT, which has but one.
    """
    base: Any = model.base_model
    for owner in (base, *(getattr(base, name, None) for name in ("encoder", "transformer", "decoder"))):
        for name in ("layer", "layers", "h"):
            if isinstance(getattr(owner, name, None), nn.ModuleList):
                return owner, name
    raise UserError(f"model.student: where {base.config.model_type} keeps its layers is not known here")


class Encoder(Family):
    """BERT and its like: a text between its first and last special token, every token sees every other."""

    name, auto_class, default_pooling = "encoder", "AutoModelForMaskedLM", "mean"
    framing = ("begin", "end")

    def frame(self, example: Example, vocabulary: Vocabulary) -> Row:
        begin, end = [vocabulary.begin], [vocabulary.end]
        if example.second is None:
            return Row(join(begin, example.first, end))
        return Row(join(begin, example.first, end, example.second, end), second=len(example.first) + 2)

    def conditional(self, example: Example, vocabulary: Vocabulary) -> Row:
        raise UserError("an encoder cannot generate")

    def cloze(self, before: np.ndarray, after: np.ndarray, vocabulary: Vocabulary) -> Row:
        ids = join([vocabulary.begin], before, [vocabulary.mask], after, [vocabulary.end])
        labels = np.full(len(ids), IGNORE)
        labels[len(before) + 1] = vocabulary.mask
        return Row(ids, labels=labels)

    def hidden(self, model: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        extra = {} if tokens.types is None else {"token_type_ids": tokens.types}
        base: Any = model.base_model
        out = base(
            input_ids=tokens.ids, **masks(tokens, first_position=first_position(base.config)), **extra
        ).last_hidden_state
        return out, out

    def stacks(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        return [layers_of(model)]

    def lm_transform(self, model: nn.Module) -> Callable[[Tensor], Tensor] | None:
        m: Any = model
        if hasattr(m, "cls"):  # BERT
            return m.cls.predictions.transform
        if hasattr(m, "generator_predictions"):  # ELECTRA
            return m.generator_predictions
        if hasattr(m, "head"):  # ModernBERT
            return m.head
        if hasattr(m, "vocab_transform"):  # DistilBERT
            return lambda h: m.vocab_layer_norm(m.activation(m.vocab_transform(h)))
        if hasattr(m, "lm_head") and hasattr(m.lm_head, "dense"):  # RoBERTa
            return lambda h: m.lm_head.layer_norm(nn.functional.gelu(m.lm_head.dense(h)))
        raise UserError(f"model.student: the language-model head of {m.config.model_type} is not known here")


class Decoder(Family):
    """GPT-2 and its like: a text and its end, each token sees those before it."""

    name, auto_class, default_pooling = "decoder", "AutoModelForCausalLM", "last"

    def frame(self, example: Example, vocabulary: Vocabulary) -> Row:
        end = [vocabulary.end]
        parts = (example.first, end) if example.second is None else (example.first, end, example.second, end)
        return Row(join(*parts))

    def conditional(self, example: Example, vocabulary: Vocabulary) -> Row:
        source, target = join(example.first, [vocabulary.end]), join(example.target, [vocabulary.end])
        labels = join(np.full(len(source) - 1, IGNORE), target)
        return Row(join(source, target[:-1]), labels=labels)

    def cloze(self, before: np.ndarray, after: np.ndarray, vocabulary: Vocabulary) -> Row:
        if len(after):
            raise UserError("a decoder reads from left to right: a gap has to come last")
        return Row(before, labels=join(np.full(len(before) - 1, IGNORE), [vocabulary.end]))

    def hidden(self, model: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        base: Any = model.base_model
        out = base(input_ids=tokens.ids, **masks(tokens, causal=True), use_cache=False).last_hidden_state
        return out, out

    def stacks(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        return [layers_of(model)]

    def lm_transform(self, model: nn.Module) -> Callable[[Tensor], Tensor] | None:
        config: Any = model.config
        for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):  # Gemma, Cohere, Granite
            if getattr(config, name, None) is not None:
                raise UserError(f"model.student: the {name} of {config.model_type} is not known here")
        return None

    def overhead(self, pair: bool) -> int:
        return 2 if pair else 1


class EncoderDecoder(Family):
    """T5 and its like: a text is encoded whole, another is decoded from it."""

    name, auto_class, default_pooling = "encoder-decoder", "AutoModelForSeq2SeqLM", "mean"

    def frame(self, example: Example, vocabulary: Vocabulary) -> Row:
        end = [vocabulary.end]
        parts = (example.first, end) if example.second is None else (example.first, end, example.second, end)
        return Row(join(*parts))

    def conditional(self, example: Example, vocabulary: Vocabulary) -> Row:
        return self.sequences(join(example.first, [vocabulary.end]), join(example.target, [vocabulary.end]), vocabulary)

    def cloze(self, before: np.ndarray, after: np.ndarray, vocabulary: Vocabulary) -> Row:
        gap = vocabulary.sentinels[0]
        row = self.sequences(join(before, [gap], after, [vocabulary.end]), join([gap], [vocabulary.end]), vocabulary)
        row.labels = join([IGNORE], [gap])
        return row

    def sequences(self, source: np.ndarray, target: np.ndarray, vocabulary: Vocabulary) -> Row:
        """Teacher forcing: the decoder reads the target shifted right, after its start symbol."""
        return Row(source, labels=target, decoder_ids=join([vocabulary.start], target[:-1]))

    def hidden(self, model: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        m: Any = model
        source, target = tokens.segments, tokens.decoder_segments  # T5's positions are relative: none need restart
        mask = tokens.mask.long() if source is None else visible(source, source)
        memory = m.get_encoder()(input_ids=tokens.ids, attention_mask=mask).last_hidden_state
        if tokens.decoder_ids is None:
            return memory, memory
        hidden = m.get_decoder()(
            input_ids=tokens.decoder_ids,
            attention_mask=None if target is None else visible(target, target, causal=True),
            encoder_hidden_states=memory,
            encoder_attention_mask=mask if source is None or target is None else visible(target, source),
            use_cache=False,
        ).last_hidden_state
        return hidden, memory

    def stacks(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        m: Any = model
        name = "block" if hasattr(m.get_encoder(), "block") else "layers"
        return [(m.get_encoder(), name), (m.get_decoder(), name)]

    def input_embedding(self, model: nn.Module) -> nn.Module:
        m: Any = model
        return m.get_encoder().get_input_embeddings()

    def lm_transform(self, model: nn.Module) -> Callable[[Tensor], Tensor] | None:
        config: Any = model.config
        if getattr(config, "scale_decoder_outputs", False):  # T5 with tied embeddings
            return lambda h: h * config.d_model**-0.5
        return None

    def overhead(self, pair: bool) -> int:
        return 2 if pair else 1


def first_position(config: "PretrainedConfig") -> int:
    """The position of a text's first token: RoBERTa and its kin count from the padding's id."""
    kind: Any = type(config)
    return config.pad_token_id + 1 if _counts_from_padding(kind) else 0


@cache
def _counts_from_padding(kind: Any) -> bool:
    from transformers import MODEL_MAPPING

    try:
        module = sys.modules[MODEL_MAPPING[kind].__module__]
    except KeyError:  # of our own
        return False
    counted = "create_position_ids_from_input_ids"
    return any(name == counted or hasattr(thing, counted) for name, thing in vars(module).items())


def family_of(config: "PretrainedConfig") -> Family:
    """The family of a Transformers configuration, without loading a weight.

    Raises:
        UserError: if Transformers knows no language model of this type.
    """
    from transformers.models.auto import modeling_auto as auto

    if config.is_encoder_decoder:
        return EncoderDecoder()
    if type(config) in auto.MODEL_FOR_MASKED_LM_MAPPING:
        return Encoder()
    if type(config) in auto.MODEL_FOR_CAUSAL_LM_MAPPING:
        return Decoder()
    raise UserError(f"model.student: {config.model_type} has neither a masked nor a causal language model")
