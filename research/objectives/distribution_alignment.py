"""Guesses held to the shares that the classes should have, by their running mean."""

from torch import Tensor


def aligned(probabilities: Tensor, prior: Tensor, marginal: Tensor) -> Tensor:
    """``p_c prior_c / marginal_c``, normalised: (N, C), (C,) and (C,) to (N, C).

    A class that is guessed more often than the prior says loses, a rarer one gains: the distribution alignment of
    ReMixMatch (Berthelot et al. 2020, arXiv:1911.09785).
    """
    weighed = probabilities * prior / marginal.clamp_min(1e-6)
    return weighed / weighed.sum(-1, keepdim=True)
