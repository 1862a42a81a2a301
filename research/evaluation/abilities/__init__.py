"""Abilities that training may cost a model: a class a file, named by ``trainer.callbacks`` of a config."""

from research.evaluation.abilities.ability import Ability
from research.evaluation.abilities.halves import Halves
from research.evaluation.abilities.language_model import LanguageModel
from research.evaluation.abilities.linear_probe import LinearProbe
from research.evaluation.abilities.similarity import Similarity

__all__ = ["Ability", "Halves", "LanguageModel", "LinearProbe", "Similarity"]
