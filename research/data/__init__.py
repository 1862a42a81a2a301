"""Sources, corpora, tasks and the mixture."""

from research.data.corpus import CorpusDataModule
from research.data.mixture import MixtureDataModule
from research.data.sampling import Joint, Sampled
from research.data.task import TaskDataModule

__all__ = ["CorpusDataModule", "Joint", "MixtureDataModule", "Sampled", "TaskDataModule"]
