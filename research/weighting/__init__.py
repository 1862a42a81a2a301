"""How losses become one, a file each."""

from research.ramp import Ramp
from research.weighting.aggregation import Aggregation
from research.weighting.base import Weighting
from research.weighting.dynamic_weight_average import DynamicWeightAverage
from research.weighting.fixed import Fixed
from research.weighting.gradnorm import GradNorm
from research.weighting.loss_scale import LossScale
from research.weighting.plateau import Plateau
from research.weighting.random import Random
from research.weighting.scheduled import Scheduled
from research.weighting.uncertainty import Uncertainty

__all__ = [
    "Aggregation",
    "DynamicWeightAverage",
    "Fixed",
    "GradNorm",
    "LossScale",
    "Plateau",
    "Ramp",
    "Random",
    "Scheduled",
    "Uncertainty",
    "Weighting",
]
