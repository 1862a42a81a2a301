"""Sources, corpora, tasks and the mixture."""

from research.data.corpus import CorpusDataModule
from research.data.curriculum import Curriculum
from research.data.mixture import MixtureDataModule
from research.data.sampling import Joint, Sampled
from research.data.task import TaskDataModule

__all__ = ["CorpusDataModule", "Curriculum", "Joint", "MixtureDataModule", "Sampled", "TaskDataModule"]
