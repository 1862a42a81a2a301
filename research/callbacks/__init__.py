"""What watches a run: logs, checkpoints, summaries, forgetting, the mean of its weights; and loops around its steps."""

from research.callbacks.crows_pairs import CrowsPairs
from research.callbacks.example_losses import ExampleLosses
from research.callbacks.footprint import Footprint
from research.callbacks.forgetting import Forgetting
from research.callbacks.generated_text import GeneratedText
from research.callbacks.group_gaps import GroupGaps
from research.callbacks.group_projection import GroupProjection
from research.callbacks.layer_similarity import LayerSimilarity
from research.callbacks.loss_guard import LossGuard
from research.callbacks.meta_learning import FirstOrderMAML, Reptile
from research.callbacks.objective_gradients import ObjectiveGradients
from research.callbacks.similarity import SentenceSimilarity
from research.callbacks.sparsity import Sparsity
from research.callbacks.training_dynamics import TrainingDynamics
from research.callbacks.transfer import Transfer
from research.callbacks.weight_average import WeightAverage
from research.callbacks.wise_ft import WiSEFT

__all__ = [
    "CrowsPairs",
    "ExampleLosses",
    "FirstOrderMAML",
    "Footprint",
    "Forgetting",
    "GeneratedText",
    "GroupGaps",
    "GroupProjection",
    "LayerSimilarity",
    "LossGuard",
    "ObjectiveGradients",
    "Reptile",
    "SentenceSimilarity",
    "Sparsity",
    "TrainingDynamics",
    "Transfer",
    "WeightAverage",
    "WiSEFT",
]
