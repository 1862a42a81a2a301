"""The student of a run, from its checkpoint alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from research.models.student import Student


class Trained:
    """What a run's checkpoint says of its student; weights are read by :meth:`restore`.

    Args:
        path: such as ``runs/NAME/checkpoints/last.ckpt``.
        key: the setting that names it, for the errors.

    Raises:
        UserError: if it is missing, torn or not a checkpoint of this program.
    """

    def __init__(self, path: str, key: str) -> None:
        from jsonargparse import ArgumentParser

        from research.checkpoints.reading import load_checkpoint

        checkpoint = load_checkpoint(Path(path).expanduser(), key=key)
        run: Mapping[str, Any] = checkpoint["hybrid"]
        self.labels: dict[str, list[str]] = run["labels"]
        self._state = checkpoint["state_dict"]  # mapped, not read
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--student", type=Student)
        given = parser.parse_object({"student": run["config"]["model"]["student"]})
        self.student: Student = parser.instantiate(given).student

    def restore(self) -> None:
        """Build the student, give it the heads of its tasks, and load its weights."""
        start = "student."
        state = {name.removeprefix(start): value for name, value in self._state.items() if name.startswith(start)}
        self.student.build()
        for name, value in state.items():
            if name.startswith("heads.") and name.endswith(".weight"):
                self.student.add_head(name.split(".")[1], len(value))
        self.student.load_state_dict(state)
