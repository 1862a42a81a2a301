"""The last stage: count, report, and give the corpus its name."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

from datatrove.pipeline.base import PipelineStep

from research.data.prepare.folder import Folder
from research.data.prepare.report import account, write


class Publish(PipelineStep):
    """Checks that every document is accounted for, moves the corpus to `data/`, and writes the report.

    `stages` are names of stages with the labels of their steps. Raises `UserError` if documents are missing.
    """

    type, name = "REPORT", "Publish"

    def __init__(self, folder: Folder, stages: list[tuple[str, list[str]]]):
        super().__init__()
        self.folder, self.stages = folder, stages

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        report = account(self.folder, self.stages)
        if (self.folder.work / "data").is_dir():  # not if a run was killed between here and its end
            os.replace(self.folder.work / "data", self.folder.data)
        write(self.folder, report)
        shutil.rmtree(self.folder.work, ignore_errors=True)
        return iter(())
