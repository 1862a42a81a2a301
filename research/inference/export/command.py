"""``export --ckpt PATH --format FORMAT --output FOLDER``: a checkpoint's student for other programs."""

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from research.arguments import Parser
from research.errors import UserError

if TYPE_CHECKING:
    from research.inference.model import Model

FORMATS = {
    "transformers": "transformers_folder",
    "sentence-transformers": "sentence_transformers_folder",
    "onnx": "onnx_graph",
    "torch": "torch_program",
    "gguf": "gguf_file",
}
NO_TASK = "none"


def main(arguments: list[str]) -> int:
    """Export the checkpoint named on the command line."""
    parser = Parser(prog="python -m research.cli export", description=__doc__)
    parser.add_argument(
        "--ckpt", required=True, type=Path, help="such as runs/NAME/checkpoints/last.ckpt, or runs/NAME"
    )
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--task",
        help="the stream whose answers are wanted; 'none' for the language model (transformers, gguf) or the embedding "
        "(the others). The default is the only task there is, and none for sentence-transformers and gguf",
    )
    chosen = parser.parse_args(arguments)
    export(chosen.ckpt, chosen.format, chosen.output, chosen.task)
    print(f"  written to {chosen.output}")
    return 0


def quieten_libraries() -> None:
    """No reports and bars of Transformers, nor what torch.onnx says of packages that are not needed."""
    from transformers.utils import logging as of_transformers

    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)


def export(checkpoint: Path, form: str, folder: Path, task: str | None = None) -> None:
    """Write a new folder in one of ``FORMATS``, with a model card, after comparing it with the student.

    Raises:
        UserError: if the folder is there, the task is not, the format cannot hold it or answers otherwise.
    """
    if folder.exists():
        raise UserError(f"--output {folder}: is there already")
    from research.inference.export.card import write_card
    from research.inference.export.given import Given
    from research.inference.loading import load
    from research.models.compression.maps import expand

    quieten_libraries()
    model = load(checkpoint)
    expand(model.student.model)
    given = Given(model, chosen_task(model, form, task))
    with whole(folder) as work:
        use = importlib.import_module(f"research.inference.export.{FORMATS[form]}").write(given, work)
        write_card(checkpoint, given, use, work, folder.name)
    print(f"  {use.checked}")


def chosen_task(model: "Model", form: str, task: str | None) -> str | None:
    """The task that is meant, or none. One that is written needs a language model, which ``transformers`` alone gives.

    Raises:
        UserError: if there is no such task, or there are several.
    """
    tasks = [n for n, info in model.tasks.items() if form == "transformers" or info.problem != "generate"]
    if task == NO_TASK or (task is None and (form in ("sentence-transformers", "gguf") or not tasks)):
        return None
    known = ", ".join([*tasks, NO_TASK])
    if task is None and len(tasks) > 1:
        raise UserError(f"--task: give one of {known}")
    if task is not None and task not in tasks:
        raise UserError(f"--task {task}: the run has no such task for {form}; give one of {known}")
    return task or tasks[0]


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is there under its name afterwards, or, if filling it fails, not at all."""
    from research.checkpoints.writing import remove, unfinished
    from research.files import unwritable

    work = unfinished(folder)
    try:
        remove(work)
        work.mkdir(parents=True)
        yield work
        os.replace(work, folder)
    except BaseException as error:
        with suppress(OSError):
            remove(work)
        if isinstance(error, OSError):
            raise unwritable(folder, error) from None
        raise
