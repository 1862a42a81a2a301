"""Sources, corpora, tasks and the mixture. Each is imported when it is asked for: most commands need a few."""

from typing import TYPE_CHECKING

from research.lazy import importer

if TYPE_CHECKING:
    from research.data.corpus import CorpusDataModule
    from research.data.curriculum import Curriculum
    from research.data.mixture import MixtureDataModule
    from research.data.sampling import Joint, Sampled
    from research.data.streaming import StreamedCorpusDataModule
    from research.data.task import TaskDataModule

__all__ = [
    "CorpusDataModule",
    "Curriculum",
    "Joint",
    "MixtureDataModule",
    "Sampled",
    "StreamedCorpusDataModule",
    "TaskDataModule",
]

MODULES = {
    "CorpusDataModule": "corpus",
    "Curriculum": "curriculum",
    "Joint": "sampling",
    "MixtureDataModule": "mixture",
    "Sampled": "sampling",
    "StreamedCorpusDataModule": "streaming",
    "TaskDataModule": "task",
}

__getattr__ = importer(__name__, MODULES)
