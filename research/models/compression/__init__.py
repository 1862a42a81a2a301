"""Ways to make a backbone smaller, which ``model.student.compression`` lists. Each is imported when it is asked for."""

from typing import TYPE_CHECKING

from research.lazy import importer

if TYPE_CHECKING:
    from research.models.compression.factorised_embedding import FactorisedEmbedding
    from research.models.compression.integers import Integers
    from research.models.compression.layer_drop import LayerDrop
    from research.models.compression.low_rank import LowRank
    from research.models.compression.method import Compression
    from research.models.compression.pruned_heads import PrunedHeads
    from research.models.compression.quantisation_aware import QuantisationAware
    from research.models.compression.shared_layers import SharedLayers

__all__ = [
    "Compression",
    "FactorisedEmbedding",
    "Integers",
    "LayerDrop",
    "LowRank",
    "PrunedHeads",
    "QuantisationAware",
    "SharedLayers",
]

MODULES = {
    "Compression": "method",
    "FactorisedEmbedding": "factorised_embedding",
    "Integers": "integers",
    "LayerDrop": "layer_drop",
    "LowRank": "low_rank",
    "PrunedHeads": "pruned_heads",
    "QuantisationAware": "quantisation_aware",
    "SharedLayers": "shared_layers",
}

__getattr__ = importer(__name__, MODULES)
