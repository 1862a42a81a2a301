"""Losses, a file each. The YAML names them by ``class_path``, so one more needs no edit here to be used."""

from research.objectives.annealed_classification import AnnealedClassification
from research.objectives.base import Objective
from research.objectives.causal_lm import CausalLM
from research.objectives.classification import Classification
from research.objectives.contrastive import Contrastive
from research.objectives.counterfactual_consistency import CounterfactualConsistency
from research.objectives.distillation import Distillation
from research.objectives.early_exits import EarlyExits
from research.objectives.embedding_distillation import EmbeddingDistillation
from research.objectives.ewc import EWC
from research.objectives.fix_match import FixMatch
from research.objectives.free_match import FreeMatch
from research.objectives.freelb import FreeLB
from research.objectives.generation import Generation
from research.objectives.gold import GOLD
from research.objectives.hidden_distillation import HiddenDistillation
from research.objectives.l2sp import L2SP
from research.objectives.masked_lm import MaskedLM
from research.objectives.minilm import MiniLM
from research.objectives.mixup import Mixup
from research.objectives.momentum_contrast import MomentumContrast
from research.objectives.pattern_exploiting import PatternExploiting
from research.objectives.prototypical import Prototypical
from research.objectives.rdrop import RDrop
from research.objectives.regression import Regression
from research.objectives.relational import Relational
from research.objectives.smart import SMART
from research.objectives.span_contrastive import SpanContrastive
from research.objectives.span_corruption import SpanCorruption
from research.objectives.supervised_contrastive import SupervisedContrastive
from research.objectives.tinybert import TinyBERT
from research.objectives.uda import UDA
from research.objectives.uld import ULD

__all__ = [
    "EWC",
    "GOLD",
    "L2SP",
    "SMART",
    "UDA",
    "ULD",
    "AnnealedClassification",
    "CausalLM",
    "Classification",
    "Contrastive",
    "CounterfactualConsistency",
    "Distillation",
    "EarlyExits",
    "EmbeddingDistillation",
    "FixMatch",
    "FreeLB",
    "FreeMatch",
    "Generation",
    "HiddenDistillation",
    "MaskedLM",
    "MiniLM",
    "Mixup",
    "MomentumContrast",
    "Objective",
    "PatternExploiting",
    "Prototypical",
    "RDrop",
    "Regression",
    "Relational",
    "SpanContrastive",
    "SpanCorruption",
    "SupervisedContrastive",
    "TinyBERT",
]
