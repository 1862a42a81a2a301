"""The model that is trained: a Transformers backbone of any family, its pooling and its heads."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from research.data.batch import Tokens
from research.data.vocabulary import Vocabulary
from research.errors import UserError
from research.models.attention import use_blocked_attention
from research.models.backbone import load_config, load_model, load_tokenizer
from research.models.chunks import in_chunks
from research.models.compression.method import Compression
from research.models.cutting import keep_layers
from research.models.depths import depth_of, depths
from research.models.dropout import set_rates, use_fast_dropout
from research.models.families import Family, family_of, first_position
from research.models.feed_forward import use_blocks
from research.models.heads import ClassificationHead, VocabularyHead
from research.models.linear import use_fast_linear
from research.models.narrow import use_narrow_states
from research.models.packed import takes_packed, unpacked
from research.models.perturbation import added
from research.models.pooling import Pooling, pooled
from research.models.recompute import kept_for_backward, use_recompute
from research.models.recording import Stack, recorded
from research.models.tokenizer import TrainedTokenizer
from research.models.trimmed import TrimmedTokenizer, cut_vocabulary
from research.step import Encoded

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


class Student(nn.Module):
    """A backbone with one head a labelled stream. Weights are loaded by :meth:`build`, not before.

    Args:
        backbone: a hub name, a local folder, ``package:NAME`` (a model inside an installed package) or
            ``fairseq:PATH`` (a checkpoint of Fairseq's RoBERTa or BART). To work offline set ``HF_HUB_OFFLINE=1``.
        revision: branch, tag or commit of a hub name.
        architecture: instead of a backbone, a configuration with random weights: ``model_type`` (such as ``bert``,
            ``gpt2``, ``t5`` or our own ``hybrid_transformer``) and its settings.
        tokenizer: where the backbone brings none: a name or folder, or a tokenizer trained from a corpus. Where it
            brings one, :class:`research.models.TrimmedTokenizer` leaves out what a corpus does not use.
        keep_layers: the layers kept, counted from 0, for a student cut from a teacher.
        pooling: how token states become one embedding; the default is ``mean``, and ``last`` for decoders.
        embedding_norm: the length that embeddings are scaled to, above 0, so that a head goes by their direction; the
            default leaves them as pooling makes them.
        dropout: replaces the dropout rates of the configuration and of the heads, 0.1, in [0, 1).
        freeze_layers: embeddings and this many lowest layers stay as they are; -1 freezes the whole backbone.
        gradient_checkpointing: trade time for memory.
        chunk: rows encoded at once in training; a taller batch is encoded part by part, and again in the backward
            pass, so that a contrastive batch is not bounded by memory (GradCache).
        lora: settings of a PEFT ``LoraConfig``; needs the extra ``lora``.
        mixout: probability, in [0, 1), that a trained weight of a linear map is what it was at first, drawn in each
            forward (Lee et al. 2020); it takes the place of dropout, which the paper sets to 0 with it.
        compression: ways to make the backbone smaller, applied in their order after ``keep_layers``.

    Raises:
        UserError: for settings that contradict each other or a backbone that cannot be read.
    """

    def __init__(
        self,
        backbone: str | None = None,
        revision: str | None = None,
        architecture: dict[str, Any] | None = None,
        tokenizer: str | TrainedTokenizer | TrimmedTokenizer | None = None,
        keep_layers: list[int] | None = None,
        pooling: Pooling | None = None,
        dropout: float | None = None,
        freeze_layers: int = 0,
        gradient_checkpointing: bool = False,
        chunk: int | None = None,
        lora: dict[str, Any] | None = None,
        mixout: float = 0.0,
        embedding_norm: float | None = None,
        compression: list[Compression] | None = None,
    ) -> None:
        super().__init__()
        if (backbone is None) == (architecture is None):
            raise UserError("model.student: give either backbone or architecture")
        if architecture is not None and tokenizer is None:
            raise UserError("model.student: an architecture brings no tokenizer; set model.student tokenizer")
        if architecture is not None and isinstance(tokenizer, TrimmedTokenizer):
            raise UserError("model.student: TrimmedTokenizer is for a backbone; for an architecture train a tokenizer")
        for name, rate in {"dropout": dropout, "mixout": mixout}.items():
            if rate is not None and not 0 <= rate < 1:
                raise UserError(f"model.student: {name} is {rate}; it must lie in [0, 1)")
        if freeze_layers < -1:
            raise UserError(f"model.student: freeze_layers is {freeze_layers}; it must be at least -1")
        if embedding_norm is not None and embedding_norm <= 0:
            raise UserError(f"model.student: embedding_norm is {embedding_norm}; it must be above 0")
        if chunk is not None and chunk < 1:
            raise UserError(f"model.student: chunk is {chunk}; it must be at least 1")
        self.backbone, self.revision, self.architecture = backbone, revision, architecture
        self._tokenizer, self._pooling = tokenizer, pooling
        self.keep_layers, self.dropout, self.freeze_layers = keep_layers, dropout, freeze_layers
        self.gradient_checkpointing, self.chunk = gradient_checkpointing, chunk
        self.lora, self.mixout, self.embedding_norm = lora, mixout, embedding_norm
        self.compression = compression or []
        self.model: nn.Module | None = None
        self.heads = nn.ModuleDict()

    @cached_property
    def config(self) -> "PretrainedConfig":
        """The backbone's configuration; reading it loads no weights."""
        config = self._given_config
        if self.dropout is not None:
            set_rates(config, self.dropout)
        for name, value in self._tokenizer_facts().items():
            if name not in (self.architecture or {}):
                setattr(config, name, value)
        return config

    @cached_property
    def _given_config(self) -> "PretrainedConfig":
        return load_config(self.backbone, self.architecture, self.revision)

    def _tokenizer_facts(self) -> dict[str, int | None]:
        """What a configuration has to say of its tokenizer: RoBERTa's positions and generation go by it."""
        if self.architecture is None:
            return {} if self._given_config.pad_token_id is not None else {"pad_token_id": self.vocabulary.pad}
        return {
            "vocab_size": len(self.tokenizer),
            "pad_token_id": self.vocabulary.pad,
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": self.tokenizer.eos_token_id,
            "decoder_start_token_id": self.vocabulary.start,
        }

    @cached_property
    def family(self) -> Family:
        family = family_of(self.config)
        for name in family.framing:
            if getattr(self.vocabulary, name) < 0:
                lack = f"the tokenizer has no token to {name} a text, as the {family.name} needs"
                raise UserError(f"model.student: {lack}")
        return family

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        if isinstance(self._tokenizer, TrainedTokenizer):
            return self._tokenizer.load()
        if isinstance(self._tokenizer, TrimmedTokenizer):
            return self._tokenizer.load(*self._from())
        if self._tokenizer is not None:
            return load_tokenizer(self._tokenizer, None)  # the revision is the backbone's
        return load_tokenizer(*self._from())

    @cached_property
    def vocabulary(self) -> Vocabulary:
        given = None if self.architecture is not None else self._given_config
        return Vocabulary.of(self.tokenizer, getattr(given, "decoder_start_token_id", None))

    @property
    def width(self) -> int:
        return self.config.hidden_size

    @property
    def has_types(self) -> bool:
        """Whether it tells the two texts of a pair apart by token types."""
        return (getattr(self.config, "type_vocab_size", 0) or 0) > 1

    @property
    def takes_packed(self) -> bool:
        """Whether several texts can share a row, and none sees the others."""
        return takes_packed(self.config)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the position embeddings allow, or none where positions are relative."""
        config: Any = self.config
        longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        if config.model_type == "t5" or longest is None:
            return None
        return longest - first_position(config)

    @property
    def pooling(self) -> str:
        return self._pooling or self.family.default_pooling

    def _from(self) -> tuple[str, str | None]:
        assert self.backbone is not None
        return self.backbone, self.revision

    def build(self) -> None:
        """Load or draw the weights, cut the layers, freeze, and add adapters. A second call does nothing."""
        if self.model is not None:
            return
        model, self.untrained = load_model(self.config, self.backbone, self.revision, self.family)
        if self.keep_layers is not None:
            keep_layers(model, self.family, self.keep_layers, self.config)
        if isinstance(self._tokenizer, TrimmedTokenizer):
            cut_vocabulary(model, self._tokenizer.rows(self.tokenizer, *self._from()), self.config)
        embedding: Any = model.get_input_embeddings()
        if len(self.tokenizer) > len(embedding.weight):
            more = f"the tokenizer has {len(self.tokenizer)} tokens, the model's embedding only {len(embedding.weight)}"
            raise UserError(f"model.student: {more}")
        for method in self.compression:
            method.apply(model, self.family)
        if self.gradient_checkpointing:
            model.activation_checkpointing_enable()
        use_blocked_attention(model)
        use_fast_dropout(model)
        use_narrow_states(model, self.family)
        use_recompute(model)
        use_blocks(model)
        self.model = model
        self._freeze()
        if self.lora is not None:
            from research.models.lora import add_lora

            add_lora(model, self.lora)
        if self.mixout:
            from research.models.mixout import use_mixout

            use_mixout(model, self.mixout)
        use_fast_linear(model)

    def add_head(self, stream: str, outputs: int) -> None:
        """Give a labelled stream its linear head; several objectives may share it."""
        if stream not in self.heads:
            given = {} if self.dropout is None else {"dropout": self.dropout}
            self.heads[stream] = ClassificationHead(self.width, outputs, **given)

    def forward(self, tokens: Tokens, reads: frozenset[str] = frozenset()) -> Encoded:
        """Encode (N, L) tokens into hidden states (N, L or D, H); ``reads`` is as for :func:`recording`."""
        if self.chunk is not None and len(tokens.ids) > self.chunk and not reads:  # which keeps what chunks would save
            return Encoded(*in_chunks(lambda part: self._states(part)[:2], tokens, self.chunk), tokens)
        with kept_for_backward():  # chunks keep less yet, by hooks of their own
            hidden, memory, stacks = self._states(tokens, reads)
        return Encoded(hidden, memory, tokens, stacks if reads else ())

    def _states(self, tokens: Tokens, reads: frozenset[str] = frozenset()) -> tuple[Tensor, Tensor, Sequence[Stack]]:
        model, averaged = self._built(), self.pooling == "first_last"
        reads = reads | {"hidden"} if averaged else reads
        with added(tokens.noise, self.family.input_embedding(model)):
            if not reads:
                return *self.family.hidden(model, tokens), ()
            hidden, memory, stacks = recorded(self.family, model, tokens, reads)
        return hidden, (stacks[0].hidden[1] + memory) / 2 if averaged else memory, stacks

    def embedding(self, encoded: Encoded) -> Tensor:
        """Pool token states into (N, H), a row a document where several are packed in one."""
        mask, states = encoded.tokens.mask, encoded.memory
        if encoded.tokens.segments is not None:
            states, mask = unpacked(states, encoded.tokens.segments)
        embedding = pooled(states, mask, self.pooling)
        return embedding if self.embedding_norm is None else self.embedding_norm * F.normalize(embedding, dim=-1)

    def class_logits(self, encoded: Encoded, stream: str) -> Tensor:
        """Logits (N, outputs) of the stream's head."""
        return self.heads[stream](self.embedding(encoded))

    def vocabulary_head(self, features: Tensor) -> VocabularyHead:
        """The language-model head over hidden states (M, H) of selected positions."""
        model: Any = self.model
        transform = self.family.lm_transform(model)
        output = model.get_output_embeddings()
        return VocabularyHead(features if transform is None else transform(features), output.weight, output.bias)

    def depths(self) -> dict[str, int | None]:
        """For each named parameter 0 (embeddings), 1 to :attr:`depth` (layers) or none (heads)."""
        return depths(self.family, self._built(), self.named_parameters())

    def shared(self) -> list[list[nn.Parameter]]:
        """The backbone's trainable parameters, which objectives share: a list a depth, from the top down."""
        depths = self.depths()
        layers: dict[int, list[nn.Parameter]] = {}
        for name, p in self.named_parameters():
            if p.requires_grad and (depth := depths[name]) is not None:
                layers.setdefault(depth, []).append(p)
        return [layers[depth] for depth in sorted(layers, reverse=True)]

    @property
    def depth(self) -> int:
        return depth_of(self.family, self._built())

    def _built(self) -> nn.Module:
        assert self.model is not None, "Student.build() comes before forward"
        return self.model

    def _freeze(self) -> None:
        if self.freeze_layers > (depth := self.depth):
            raise UserError(f"model.student: freeze_layers is {self.freeze_layers}; the student has {depth} layers")
        below = depth if self.freeze_layers == -1 else self.freeze_layers
        if not below:
            return
        depths = self.depths()
        for name, parameter in self.named_parameters():
            at = depths[name]
            parameter.requires_grad_(at is None or at > below)
