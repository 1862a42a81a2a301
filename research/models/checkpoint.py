"""The student of a run, from its checkpoint alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.data.stream import StreamInfo
from research.errors import UserError
from research.models.student import Student

RUN = "{run}"  # in a checkpoint's path of a tokenizer, the folder of the run that the checkpoint lies in

if TYPE_CHECKING:
    from research.data.stream_module import StreamDataModule
    from research.objectives.base import Objective


class Trained:
    """What a run's checkpoint says of its student and streams; weights are read by :meth:`restore`.

    Args:
        path: such as ``runs/NAME/checkpoints/last.ckpt``.
        key: the setting that names it, for the errors.

    Raises:
        UserError: if it is missing, torn, of another version or not a checkpoint of this program.
    """

    def __init__(self, path: str, key: str) -> None:
        from research.checkpoints.reading import load_checkpoint, run_of

        checkpoint = load_checkpoint(Path(path).expanduser(), key=key)
        self.name = f"{key} {path}"
        run = run_of(checkpoint, self.name)
        self.config: dict[str, Any] = run["config"]
        self.streams = {name: StreamInfo.restored(info) for name, info in run["streams"].items()}
        self.private = tuple[str, ...](run.get("privacy", ()))  # the streams that it learnt by DP-SGD
        self._state = checkpoint["state_dict"]  # mapped, not read
        given = dict(self.config["model"]["student"])
        if isinstance(where := given.get("tokenizer"), str):
            given["tokenizer"] = where.replace(RUN, str(Path(path).expanduser().absolute().parents[1]))
        self.student: Student = self._made("model.student", Student, given)

    def restore(self) -> None:
        """Build the student, give it the heads of its tasks, and load its weights."""
        start = "student."
        state = {name.removeprefix(start): value for name, value in self._state.items() if name.startswith(start)}
        self.student.build()
        for name, value in state.items():
            if name.startswith("heads.") and name.endswith(".weight"):
                self.student.add_head(name.split(".")[1], len(value))
        try:
            self.student.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(
                f"{self.name}: its weights are not those of its config: {str(error).splitlines()[-1].strip()}"
            ) from None

    def objective(self, name: str) -> "Objective":
        """An objective of the run as its config has it, not yet built."""
        from research.objectives.base import Objective

        made: Objective = self._made(f"model.objectives.{name}", Objective, self.config["model"]["objectives"][name])
        return made

    def stream(self, name: str) -> "StreamDataModule":
        """A stream of the run as its config has it, not yet connected."""
        from research.data.stream_module import StreamDataModule

        made: StreamDataModule = self._made(
            f"data.streams.{name}", StreamDataModule, self.config["data"]["streams"][name]
        )
        return made

    def _made(self, key: str, kind: type, given: Any) -> Any:
        from jsonargparse import ArgumentError, ArgumentParser

        from research.config_errors import nested

        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--it", type=kind)
        try:
            return parser.instantiate(parser.parse_object({"it": given})).it
        except ArgumentError as error:
            reason = f"this version has another {key}: {nested(str(error))[-1]}"
            raise UserError(f"{self.name}: {reason}") from None
