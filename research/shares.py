"""What each batch counts for where the gradients of several are added up, in one process or many."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from research.data.batch import Batch
from research.objectives.base import Objective
from research.ranks import averaged


def divide(
    objectives: Mapping[str, Objective], batches: Sequence[Mapping[str, Batch | None]], device: torch.device
) -> None:
    """Set the share of each batch in each objective, so that the mean of its losses is that over all its terms.

    A batch of ``n`` terms has the share ``n / mean(n)``, the mean over the batches of all processes that it counts in.
    """
    found, terms = dict[str, list[Batch]](), dict[str, Tensor]()
    for name, objective in ((n, o) for n, o in objectives.items() if not o.gathers):
        counting = [batch for each in batches if objective.due(each) and (batch := each.get(objective.stream))]
        if counting:
            found[name] = counting
            terms[name] = torch.tensor([float(objective.terms(batch)) for batch in counting], device=device)
    if not terms:
        return
    means = averaged(torch.stack([own.mean() for own in terms.values()]))  # of all objectives in one exchange
    for (name, own), mean in zip(terms.items(), means, strict=True):
        shares = own / mean.clamp_min(torch.finfo(own.dtype).tiny)
        for batch, share in zip(found[name], shares, strict=True):
            batch.shares[name] = share


def shared(loss: Tensor, name: str, batch: Batch | None) -> Tensor:
    """An objective's loss, weighed by its share of the batches whose gradients are added up."""
    share = None if batch is None else batch.shares.get(name)
    return loss if share is None else loss * share
