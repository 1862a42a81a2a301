"""The plots of a grid, a file each. A plot is a function of the layout that yields drawings."""

from research.ablation.plots.bars import bars
from research.ablation.plots.curves import curves
from research.ablation.plots.drawing import Drawing
from research.ablation.plots.forgetting import forgetting
from research.ablation.plots.interactions import interactions
from research.ablation.plots.pareto import pareto

__all__ = ["Drawing", "bars", "curves", "forgetting", "interactions", "pareto"]
