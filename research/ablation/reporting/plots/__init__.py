"""The plots of a grid, a file each. A plot is a function of the layout that yields drawings."""

from research.ablation.reporting.plots.bars import bars
from research.ablation.reporting.plots.curves import curves
from research.ablation.reporting.plots.drawing import Drawing
from research.ablation.reporting.plots.forgetting import forgetting
from research.ablation.reporting.plots.interactions import interactions
from research.ablation.reporting.plots.pareto import pareto

__all__ = ["Drawing", "bars", "curves", "forgetting", "interactions", "pareto"]
