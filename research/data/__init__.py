"""Sources, corpora, tasks and the mixture. Each is imported when it is asked for: most commands need a few."""

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
