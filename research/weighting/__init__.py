"""From ``{objective: loss}`` to one loss."""

from research.ramp import Ramp
from research.weighting.base import Weighting
from research.weighting.fixed import Fixed
from research.weighting.scheduled import Scheduled

__all__ = ["Fixed", "Ramp", "Scheduled", "Weighting"]
