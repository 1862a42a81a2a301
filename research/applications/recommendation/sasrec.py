"""SASRec (Kang & McAuley 2018, arXiv:1808.09781): a causal Transformer that tells the next film at each place."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from research.applications.recommendation.baselines import Past


class Network(nn.Module):
    """Causal self-attention over the vectors of films; films are told by the product with the same vectors.

    Args:
        films: F; the padding is film F.
        width: H, of vectors.
        layers: blocks of one-headed attention and a feed-forward part, each normed before and added to what it read.
        length: the longest history.
        dropout: of embeddings, attention and feed-forward parts.
    """

    def __init__(self, films: int, width: int, layers: int, length: int, dropout: float) -> None:
        super().__init__()
        self.catalogue = films
        self.films = nn.Embedding(films + 1, width, padding_idx=films)
        self.places = nn.Embedding(length, width)
        block = nn.TransformerEncoderLayer(
            width, nhead=1, dim_feedforward=width, dropout=dropout, activation="relu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        for embedding in (self.films, self.places):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, history: Tensor) -> Tensor:
        """Films (N, L), padded on the left, to states (N, L, H)."""
        length, padding = history.shape[1], history.eq(self.catalogue)
        states = self.films(history) * self.films.embedding_dim**0.5 + self.places.weight[-length:]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        blocked = later | padding[:, None, :] & ~torch.eye(length, dtype=torch.bool)  # padding reads itself: no NaN
        return self.norm(self.blocks(self.dropout(states), mask=blocked))


@dataclass
class SASRec:
    """Its loss is the softmax over the catalogue, estimated from shared uniform negatives.

    The original loss has one negative a place; with a softmax over many SASRec is stronger (Klenitskiy & Vasilev 2023,
    arXiv:2309.07602). The epoch is chosen by ``judge``.

    Args:
        width, layers, dropout: of the network.
        judge: a figure of the scores on the validation films, the higher the better.
        seed: of weights, dropout, order and negatives.
        length: the longest history, and how many films a training row has.
        negatives: drawn for each batch.
        epochs: at most; training ends sooner where ``patience`` judgements in turn were no better.
    """

    width: int
    layers: int
    dropout: float
    judge: Callable[["SASRec"], float]
    seed: int = 0
    length: int = 50
    negatives: int = 500
    lr: float = 2e-3
    batch_size: int = 64
    epochs: int = 60
    every: int = 3
    patience: int = 3

    def fit(self, training: Past, films: int) -> None:
        torch.manual_seed(self.seed)
        self.catalogue, self.network = films, Network(films, self.width, self.layers, self.length, self.dropout)
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01)
        windows = self._windows(training)
        best, kept, worse = -1.0, self.network.state_dict(), 0
        named = f"SASRec {self.dropout}, seed {self.seed}"
        progress = tqdm(range(1, self.epochs + 1), desc=named, leave=False, disable=None)
        for epoch in progress:
            self.network.train()
            for rows in torch.randperm(len(windows)).split(self.batch_size):
                loss = self._loss(windows[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            if epoch % self.every:
                continue
            figure = self.judge(self)
            progress.set_postfix(validation=f"{figure:.4f}")
            if figure > best:
                best, kept, worse = figure, copy.deepcopy(self.network.state_dict()), 0
            elif (worse := worse + 1) == self.patience:
                break
        self.network.load_state_dict(kept)

    @torch.no_grad()
    def scores(self, past: Past) -> np.ndarray:
        self.network.eval()
        states = self.network(self._padded([films[-self.length :] for films in past]))[:, -1]
        return (states @ self.network.films.weight[:-1].T).numpy()

    def _windows(self, training: Past) -> Tensor:
        """(N, length + 1): the films of each user, cut from the end, so that each is the next one once."""
        rows = []
        for films in training:
            for end in range(len(films), 1, -self.length):
                rows.append(films[max(0, end - self.length - 1) : end])
        return self._padded(rows, self.length + 1)

    def _padded(self, rows: Past, length: int | None = None) -> Tensor:
        out = np.full((len(rows), length or self.length), self.catalogue)
        for line, row in zip(out, rows, strict=True):
            line[len(line) - len(row) :] = row
        return torch.from_numpy(out)

    def _loss(self, windows: Tensor) -> Tensor:
        history, following = windows[:, :-1], windows[:, 1:]
        real = (history != self.catalogue) & (following != self.catalogue)
        states, target = self.network(history)[real], following[real]
        drawn = torch.randint(self.catalogue, (self.negatives,))
        own = (states * self.network.films(target)).sum(1, keepdim=True)
        others = (states @ self.network.films(drawn).T).masked_fill(drawn == target[:, None], -torch.inf)
        return F.cross_entropy(torch.cat([own, others], 1), torch.zeros(len(target), dtype=torch.long))
