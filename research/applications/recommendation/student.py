"""A student whose words are films: the vector of each is made from what a text encoder reads of it."""

import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.applications.recommendation.movielens import MovieLens, read
from research.data.cache import default_folder, key
from research.errors import UserError
from research.models import Student
from research.models.backbone import weights_digest
from research.models.embedding import embed
from research.models.linear import Linear

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COMPONENTS = 128  # of the texts' embeddings that are kept, so that a step's projection of the catalogue is cheap
LENGTH = 48  # tokens of a film's text, which is cut there
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
           "mask_token": "[MASK]"}  # fmt: skip


class FilmVectors(nn.Module):
    """``v_i = W t_i + o_i``: a projection of what film i's text says, and a vector of its own, zero at first.

    It serves as input and as output embedding. A film without a vector of its own is known by its text alone; special
    tokens have no text.

    Args:
        texts: t, (V, T); zero for special tokens.
        free: (V,) bool, the tokens that have a vector of their own.
        width: of the vectors, H.
    """

    texts: Tensor
    free: Tensor
    bias = None

    def __init__(self, texts: Tensor, free: Tensor, width: int) -> None:
        super().__init__()
        self.projection = Linear(texts.shape[1], width, bias=False)
        self.own = nn.Parameter(torch.zeros(len(texts), width))
        nn.init.normal_(self.projection.weight, std=0.02)
        nn.init.normal_(self.own[: len(SPECIAL)].data, std=0.02)
        self.register_buffer("texts", texts)
        self.register_buffer("free", free[:, None].float())

    @property
    def weight(self) -> Tensor:
        """(V, H)."""
        return self.projection(self.texts) + self.own * self.free

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (...) to vectors (..., H)."""
        return self.projection(F.embedding(ids, self.texts)) + F.embedding(ids, self.own * self.free)


class FilmStudent(Student):
    """A small Transformer over films. ``encoder`` reads their texts once, frozen, before the first fit.

    Args:
        folder: where MovieLens' CSV files lie.
        encoder: reads title, genres and tags; the default gives films no text, only vectors of their own.
        own_from: how many training users a film must have for a vector of its own, at least 0; the default gives
            films no vector of their own, only texts.
        architecture: as for :class:`research.models.Student`, like the settings not named here.
    """

    encoder: Student | None

    def __init__(
        self,
        folder: str,
        architecture: dict[str, Any],
        encoder: Student | None = None,
        own_from: int | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__(architecture=architecture, tokenizer="films", dropout=dropout)
        if encoder is None and own_from is None:
            raise UserError("model.student: films need a text or a vector of their own: set encoder, own_from or both")
        if own_from is not None and own_from < 0:
            raise UserError(f"model.student: own_from is {own_from}; it must be at least 0")
        self.folder, self.own_from = folder, own_from
        object.__setattr__(self, "encoder", encoder)  # past nn.Module: what it has read is kept, not its weights

    @property
    def films(self) -> MovieLens:
        return read(Path(self.folder))

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """A token a film, by its movieId, after the special ones."""
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        words = [*SPECIAL.values(), *self.films.names]
        tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)

    def share(self) -> Tensor:
        """(V,) of each token among the films of all training histories, one added so that none is 0."""
        counts = F.pad(torch.from_numpy(self.films.popularity()).float(), (len(SPECIAL), 0)) + 1
        return counts / counts.sum()

    def build(self) -> None:
        if self.model is not None:
            return
        super().build()
        model: Any = self.model
        told, special = self._texts(), len(SPECIAL)
        free = torch.ones(special + len(told), dtype=torch.bool)
        free[special:] = torch.from_numpy(
            self.films.popularity() >= (np.inf if self.own_from is None else self.own_from)
        )
        vectors = FilmVectors(F.pad(told, (0, 0, special, 0)), free, self.width)
        model.set_input_embeddings(vectors)
        model.set_output_embeddings(vectors)

    def _texts(self) -> Tensor:
        """(F, T) the encoder's embeddings of the films' texts, their principal components, of length 1."""
        if self.encoder is None:
            return torch.zeros(len(self.films.names), 1)
        told = text_embeddings(self.encoder, self.films.texts)
        centred = told - told.mean(0)
        _, directions = torch.linalg.eigh(centred.T @ centred)  # in rising order of what they hold
        return F.normalize(centred @ directions[:, -COMPONENTS:], dim=-1)


def text_embeddings(encoder: Student, texts: list[str]) -> Tensor:
    """Embeddings (n, T) float32 of texts by a frozen encoder, kept in the cache."""
    weights = weights_digest(encoder.backbone, encoder.config) if encoder.backbone else "random"
    name = key("film-texts-1", weights, encoder.keep_layers, encoder.pooling, texts, LENGTH)
    path = default_folder() / "films" / f"{name}.npy"
    if not path.exists():
        encoder.build()
        found = embed(encoder.eval(), texts, max_length=LENGTH).numpy()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as work:
            np.save(work, found)
        os.replace(work.name, path)
    return torch.from_numpy(np.load(path))
