"""Where the tokens of a text look: attention maps, and their rollout to the embedding that an answer is told from."""

import numpy as np
import torch
from torch import Tensor

from research.inference.explanation.reading import Reading
from research.inference.model import Model
from research.models.pooling import pooled
from research.step import Clean


@torch.no_grad()
def attention_maps(model: Model, reading: Reading) -> Tensor:
    """(layers, heads, L, L): how much of what a token (row) takes in comes from each token (column); rows sum to 1.

    Of an encoder-decoder these are the encoder's.

    Raises:
        UserError: for an architecture whose attention cannot be read.
    """
    tokens = reading.batch.views[Clean()]
    layers = model.student(tokens, frozenset({"attention"})).stacks[0].attention
    maps = [layer.scores().masked_fill(~layer.visible(), -torch.inf).softmax(-1)[0] for layer in layers]
    return torch.stack(maps).float().cpu()


def rollout(model: Model, reading: Reading) -> np.ndarray:
    """Weights (L,), at least 0, with the sum 1: attention followed from the embedding down to the tokens.

    ``A_D ... A_1`` with ``A_i = (mean over heads of layer i's map + 1) / 2`` is what each last state is made of (Abnar
    & Zuidema 2020, arXiv:2005.00928); its rows are pooled as the student pools states. They say where the student
    looks, not what speaks for the answer, so that none is negative.
    """
    maps = attention_maps(model, reading).double().mean(1)
    flow = torch.eye(maps.shape[-1], dtype=torch.float64)
    for each in maps:
        flow = (each + torch.eye(len(each), dtype=torch.float64)) / 2 @ flow
    mask = reading.batch.views[Clean()].mask.cpu()
    how = "mean" if model.student.pooling == "first_last" else model.student.pooling
    weights = pooled(flow[None], mask, how)[0]
    return (weights / weights.sum()).numpy()
