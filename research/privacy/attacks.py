"""What a trained student tells of its training texts: membership by losses, and the exposure of planted secrets."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from research.data.batch import IGNORE
from research.data.masking import NextToken
from research.data.records import batched
from research.errors import UserError
from research.step import Step

if TYPE_CHECKING:
    from research.inference.model import Model


def membership(members: np.ndarray, others: np.ndarray, false_positives: float = 0.01) -> tuple[float, float]:
    """How well a threshold of the loss tells what was trained on (Yeom et al. 2018, arXiv:1709.01604).

    The first figure is the area under the ROC curve, in [0, 1], 0.5 for a guess; the second the share of members that
    are found where ``false_positives`` of the others at most are taken for some (Carlini et al. 2022,
    arXiv:2112.03570).

    Args:
        members: losses (n,) of examples that were trained on.
        others: losses (m,) of examples of the same kind that were not.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    truth = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    score = -np.concatenate([members, others])
    wrong, right, _ = roc_curve(truth, score, drop_intermediate=False)
    return float(roc_auc_score(truth, score)), float(right[wrong <= false_positives].max())


def exposure(secret: float, candidates: np.ndarray) -> float:
    """``log2 |R| - log2 rank`` of a secret among candidates R by their losses (Carlini et al. 2019, arXiv:1802.08232).

    At most log2 |R|, where the secret is the likeliest; a guess has 1.44 in the mean, whatever R.

    Args:
        secret: its loss.
        candidates: losses (R,) of all that it might have been, itself among them.
    """
    rank = 1 + int((candidates < secret).sum())
    return math.log2(len(candidates)) - math.log2(rank)


@torch.inference_mode()
def text_losses(model: "Model", texts: Sequence[str], stream: str) -> np.ndarray:
    """``-log p(text)`` in nats (n,) by a decoder's language model, the end of the text included.

    Args:
        model: of :func:`research.inference.load`.
        texts: cut to what the stream lets the student read.
        stream: one that it was trained on.

    Raises:
        UserError: if the student is no decoder.
    """
    student, view = model.student, NextToken()
    if student.family.name != "decoder":
        raise UserError(f"a student of the {student.family.name} family gives texts no likelihood; it takes a decoder")
    losses, device = np.zeros(len(texts)), next(student.parameters()).device
    for places, batch in batched(student, [{"text": t} for t in texts], [view], model.streams[stream], model.tokens):
        head, labels = Step({stream: batch.to(device)}, student, None, {stream: [view]}).vocabulary(stream, view)
        given = batch.views[view].labels
        assert given is not None
        rows = (given != IGNORE).nonzero()[:, 0].numpy()
        np.add.at(losses, places[rows], head.cross_entropy(labels, reduction="none").double().cpu().numpy())
    return losses
