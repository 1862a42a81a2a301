"""CrowS-Pairs: whether a language model finds stereotypes likelier (Nangia et al. 2020, arXiv:2010.00133)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from research.data.sources import Source
from research.errors import UserError
from research.evaluation.bias.likelihood import shared_likelihoods

if TYPE_CHECKING:
    from research.models.student import Student

DRAWS = 2000  # of the bootstrap


class Preference(NamedTuple):
    """The share in [0, 1] of so many ``pairs`` whose more stereotypical sentence is likelier; 0.5 is none.

    ``low`` and ``high`` bound its 95% interval, by the bootstrap over pairs (percentiles).
    """

    share: float
    low: float
    high: float
    pairs: int


def stereotype_preference(student: "Student", source: Source) -> dict[str, Preference]:
    """:class:`Preference` of ``all`` pairs and of each of their types, by :func:`shared_likelihoods`.

    Args:
        student: with a trained language-model head, built and in evaluation mode.
        source: records whose ``text`` is the more stereotypical sentence, whose ``text_pair`` the less, and whose
            ``label`` the type.

    Raises:
        UserError: for a record that is no such pair, a source without any, or a student that cannot be asked.
    """
    pairs, kinds = [], []
    for record in source:
        if "text_pair" not in record or not isinstance(record.get("label"), str):
            raise UserError(f"{record['where']}: not a pair of sentences with its type as the label")
        pairs.append((record["text"], record["text_pair"]))
        kinds.append(str(record["label"]))
    if not pairs:
        raise UserError("CrowS-Pairs: the source has no pairs")
    more, less = shared_likelihoods(student, pairs).T
    return by_type(kinds, more > less)


def by_type(kinds: Sequence[str], preferred: np.ndarray) -> dict[str, Preference]:
    """:class:`Preference` of all (N,) bool, and of each type in the order of their names."""
    of_kind: Mapping[str, np.ndarray] = {
        kind: preferred[[other == kind for other in kinds]] for kind in sorted(set(kinds))
    }
    return {name: _preference(values) for name, values in {"all": preferred, **of_kind}.items()}


def _preference(preferred: np.ndarray) -> Preference:
    draws = np.random.default_rng(0).choice(preferred, (DRAWS, len(preferred))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Preference(float(preferred.mean()), float(low), float(high), len(preferred))
