"""Which streams give a batch in which step: a class a file, named by ``data.mixture.class_path``."""

from research.data.sampling.base import Sampling
from research.data.sampling.drawn import BLOCK, Drawn
from research.data.sampling.joint import Joint
from research.data.sampling.loss_driven import LossDriven
from research.data.sampling.repeated import Repeated
from research.data.sampling.sampled import Sampled
from research.data.sampling.sequential import Phase, Sequential
from research.data.sampling.temperature import Temperature
from research.data.sampling.turns import ENDLESS, HOLE, Turns

__all__ = [
    "BLOCK",
    "ENDLESS",
    "HOLE",
    "Drawn",
    "Joint",
    "LossDriven",
    "Phase",
    "Repeated",
    "Sampled",
    "Sampling",
    "Sequential",
    "Temperature",
    "Turns",
]
