"""A part of the work that begins when the one before it is done."""

from dataclasses import dataclass
from pathlib import Path

from datatrove.pipeline.base import PipelineStep


@dataclass
class Stage:
    """A pipeline that runs as `tasks` tasks, side by side, each with its share of the documents."""

    name: str
    steps: list[PipelineStep]
    tasks: int

    @property
    def labels(self) -> list[str]:
        """What the report calls the steps: a filter by the folder of what it drops."""
        writers = [getattr(step, "exclusion_writer", None) for step in self.steps]
        names = [type(step).__name__ for step in self.steps]
        return [Path(w.output_folder.path).name if w else name for w, name in zip(writers, names, strict=True)]
