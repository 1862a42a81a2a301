"""From settings to the pipelines that datatrove runs, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter

from research.data.prepare.documents import Read, Write
from research.data.prepare.duplicates import NearDuplicates, drop_exact_duplicates
from research.data.prepare.folder import Folder, occupy
from research.data.prepare.publish import Publish
from research.data.prepare.stage import Stage
from research.data.prepare.steps import Blank
from research.data.prepare.words import check_language
from research.data.sources.source import Source
from research.errors import UserError


@dataclass
class Preparation:
    """A corpus as JSON lines: read from sources, changed and filtered by steps, without duplicates.

    Args:
        folder: where it goes, on a disk that all workers see; data/ appears in it once it is whole.
        sources: what to read, by names of your own.
        steps: filters and changes of documents in their order, ours or any of datatrove.
        exact_duplicates: whether to drop them.
        near_duplicates: how to find them; null keeps them.
        tasks: shares of the work, at least 1. A share is whole parts of the sources, which mostly are files.
        executor: what runs the tasks: LocalPipelineExecutor (with workers), SlurmPipelineExecutor (with time and
            partition) or RayPipelineExecutor of datatrove.executor.
        compression: of the files of data/.
    """

    folder: str
    sources: dict[str, Source]
    steps: list[PipelineStep] = field(default_factory=list)
    exact_duplicates: bool = True
    near_duplicates: NearDuplicates | None = field(default_factory=NearDuplicates)
    tasks: int = 1
    executor: Callable[[list[PipelineStep], int], PipelineExecutor] = LocalPipelineExecutor
    compression: Literal["zstd", "gzip"] = "zstd"

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("sources: there is none; name at least one")
        if self.tasks < 1:
            raise UserError(f"tasks is {self.tasks}; it must be at least 1")
        for place, step in enumerate(self.steps):
            if isinstance(language := getattr(step, "language", None), str):
                check_language(f"steps[{place}].language", language)

    def stages(self, folder: Folder) -> Iterator[Stage]:
        """The stages in their order. Each hands its documents on to the next in `folder.work`."""
        documents: list[PipelineStep] = [Read(self.sources)]
        for place, step in enumerate([*self.steps, Blank()], 1):
            if isinstance(step, BaseFilter):
                step.exclusion_writer = Write(folder.dropped / f"{place}-{type(step).__name__}")
            documents.append(step)
        if self.exact_duplicates:
            documents = yield from drop_exact_duplicates(documents, folder, self.tasks)
        if self.near_duplicates is not None:
            documents = yield from self.near_duplicates.drop(documents, folder, self.tasks)
        yield Stage("data", [*documents, Write(folder.work / "data", self.compression)], self.tasks)

    def run(self, folder: Folder) -> Iterator[str]:
        """Run the stages, each named before it begins. A scheduler such as SLURM is given all of them at once."""
        with folder.console():
            stages = list(self.stages(folder))
        stages.append(Stage("report", [Publish(folder, [(stage.name, stage.labels) for stage in stages])], 1))
        run: Any = self.executor
        before: PipelineExecutor | None = None
        for stage in stages:
            yield stage.name
            steps = [partial(occupy, folder.path), *stage.steps]
            with folder.console():
                before = run(steps, stage.tasks, logging_dir=str(folder.logs / stage.name), depends=before)
                before.run()
