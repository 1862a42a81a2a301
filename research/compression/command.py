"""``compress --ckpt CHECKPOINT --output FOLDER``: a smaller student, and a table of what it costs.

The methods are applied in this order to the student as it was trained; none trains it again. The folder is read by
predict, export, calibrate and research.inference.load. compression.md, compression.json and compression.png in it show
size, parameters, time, memory and quality beside those of the student as it was, and which are worth their size.
"""

import argparse
import importlib
import json
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from research.arguments import Parser
from research.errors import UserError

FIRST = "as it was"
TASKS = ("classify", "multilabel", "regress")


def main(arguments: list[str]) -> int:
    """Compress the checkpoint named on the command line, and say what it costs."""
    chosen = parsed(arguments)
    if chosen.output.exists():
        raise UserError(f"--output {chosen.output}: is there already")
    from research.inference.export.command import whole

    with whole(chosen.output) as work, tempfile.TemporaryDirectory() as first:
        compress(chosen, work)
        table = report(chosen, work, Path(first))
    print(f"\n{table}\n\n  written to {chosen.output}")
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.cli compress", description=__doc__)
    parser.add_argument("--ckpt", required=True, type=Path, help="a checkpoint, or a run's folder")
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--task", metavar="STREAM", help="whose quality is measured, where the run had several")
    parser.add_argument("--split", choices=["validation", "test"], default="validation", help="on which")
    parser.add_argument("--layers", type=int, nargs="+", metavar="LAYER", help="the layers kept, counted from 0")
    parser.add_argument("--heads", type=float, metavar="SHARE", help="of attention heads to leave out, in (0, 1): "
                        "those that matter least to the loss on the task's training texts")  # fmt: skip
    parser.add_argument("--vocabulary", nargs="*", metavar="FILE", help="keep the tokens that texts use: those that "
                        "the run read, but for private streams, and those of files of texts")  # fmt: skip
    parser.add_argument("--vocab-size", type=int, metavar="TOKENS", help="the most that --vocabulary keeps")
    parser.add_argument("--embedding-size", type=int, metavar="SIZE", help="a word embedding so wide, and a map")
    parser.add_argument("--rank", type=int, help="of the linear maps in the layers")
    parser.add_argument("--bits", type=int, choices=[8, 4], help="of weights; with 8 products are of integers")
    parser.add_argument(
        "--beside", type=Path, nargs="+", default=[], metavar="FOLDER", help="further rows of the table"
    )
    chosen = parser.parse_args(arguments)
    chosen.line = arguments
    if chosen.vocab_size is not None and chosen.vocabulary is None:
        raise UserError("--vocab-size: give --vocabulary too, whose tokens are counted")
    if chosen.heads is not None and not 0 < chosen.heads < 1:
        raise UserError(f"--heads is {chosen.heads}; it must lie in (0, 1)")
    return chosen


def compress(chosen: argparse.Namespace, folder: Path) -> None:
    """Apply the methods that are asked for, and write the folder."""
    from research.compression.folder import methods_of, write_folder
    from research.inference.loading import checkpoint_of, load
    from research.models.checkpoint import Trained

    checkpoint = checkpoint_of(chosen.ckpt)
    model, trained = load(checkpoint, decisions=False), Trained(str(checkpoint), "--ckpt")
    student, before = model.student, methods_of(checkpoint)
    backbone: Any = student.model
    if chosen.layers is not None:
        from research.models.cutting import keep_layers

        if lasting(before):
            raise UserError("--layers: the student has model.student.compression already; give keep_layers in training")
        keep_layers(backbone, student.family, chosen.layers, student.config)
    if chosen.vocabulary is not None:
        trim(chosen, model, trained, checkpoint)
    if chosen.heads is not None and (task := model.task(chosen.task, *TASKS)) in trained.private:
        raise UserError(f"--heads: would choose by texts of the private stream '{task}' without noise; leave it out")
    made = asked(chosen, model, checkpoint)
    for given in made:
        method_of(given).apply(backbone, student.family)
    write_folder(checkpoint, student, [*lasting(before), *made], folder)


def trim(chosen: argparse.Namespace, model: Any, trained: Any, checkpoint: Path) -> None:
    """Leave the student the tokens of the texts that it was trained on, but for private ones, and of the files."""
    from itertools import chain

    from research.inference.reading import records
    from research.models.trimmed import cut_vocabulary, rows_of, texts_of, trimmed

    student = model.student
    public = [name for name in trained.streams if name not in trained.private]
    if not public and not chosen.vocabulary:
        raise UserError("--vocabulary: all streams of the run are private, and its tokens would tell of their texts; "
                        "give files of public texts")  # fmt: skip
    texts = [read_by(model, trained, checkpoint, name) for name in public]
    if chosen.vocabulary:
        texts.append(texts_of(records(chosen.vocabulary, "text", None, option="--vocabulary")))
    old = student.tokenizer
    new = trimmed(old, chain.from_iterable(texts), chosen.vocab_size)
    cut_vocabulary(student.model, rows_of(old, new), student.config)
    student.tokenizer = new


def read_by(model: Any, trained: Any, checkpoint: Path, name: str) -> Iterable[str]:
    """The texts of a stream that a run has trained on: of a task those that it has not held out."""
    from research.data.task import TaskDataModule
    from research.evaluation.errors.data import texts_of_split
    from research.inference.decisions.scored import data_of
    from research.models.trimmed import texts_of

    stream = trained.stream(name)
    if not isinstance(stream, TaskDataModule):
        return texts_of(stream.source)
    return texts_of_split(data_of(checkpoint, model, name), "train").values()


def asked(chosen: argparse.Namespace, model: Any, checkpoint: Path) -> list[dict[str, Any]]:
    """The methods of ``model.student.compression`` that the command line names, as in a config."""
    found: list[tuple[str, dict[str, Any]]] = []
    if chosen.heads is not None:
        from research.compression.importance import least_important

        heads = least_important(model, checkpoint, chosen.task, chosen.heads)
        print(f"  heads left out, by layer: {heads}")
        found.append(("PrunedHeads", {"heads": heads}))
    if chosen.embedding_size is not None:
        found.append(("FactorisedEmbedding", {"size": chosen.embedding_size}))
    if chosen.rank is not None:
        found.append(("LowRank", {"rank": chosen.rank}))
    if chosen.bits is not None:
        found.append(("Integers", {"bits": chosen.bits}))
    return [{"class_path": f"research.models.compression.{name}", "init_args": given} for name, given in found]


def method_of(given: dict[str, Any]) -> Any:
    """The method that an entry of ``class_path`` and ``init_args`` describes."""
    return class_of(given)(**given["init_args"])


def lasting(methods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The methods of a training run that its weights still need: not those that only trained for others."""
    return [one for one in methods if class_of(one).lasts]


def class_of(given: dict[str, Any]) -> Any:
    """The class that an entry names by ``class_path``."""
    module, _, name = given["class_path"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def report(chosen: argparse.Namespace, folder: Path, first: Path) -> str:
    """Measure the folder and the student as it was, and write the table into the folder; it is given for a terminal."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    from research.ablation.results import commit
    from research.compression.folder import methods_of, size_of, write_folder
    from research.compression.table import Row, as_json, as_text, markdown, measured, parameters, plot, quality
    from research.evaluation.errors.data import texts_of_split
    from research.files import write_whole
    from research.inference.decisions.scored import check_split, data_of
    from research.inference.loading import checkpoint_of, load

    checkpoint = checkpoint_of(chosen.ckpt)
    model = load(checkpoint, decisions=False)
    write_folder(checkpoint, model.student, lasting(methods_of(checkpoint)), first)
    task = model.task(chosen.task, *TASKS)
    folders = {FIRST: first, chosen.output.name: folder, **{path.name: path for path in chosen.beside}}
    data = data_of(checkpoint, model, task)
    check_split(data, chosen.split)
    texts = list(texts_of_split(data, chosen.split).values())
    times = measured({name: checkpoint_of(path) for name, path in folders.items()}, task, texts)
    rows, figure = [], ""
    for name, path in tqdm(folders.items(), desc=f"quality of {task}", disable=None):
        one = load(path, decisions=False)
        figure, good = quality(one, data_of(checkpoint_of(path), one, task), task, chosen.split)
        rows.append(Row(name, size_of(path), parameters(one.student), *times[name], good))
    table = markdown(rows, f"{figure} ({chosen.split})")
    line = shlex.join(["python", "-m", "research.cli", "compress", *chosen.line])
    made = {"command": line, "commit": commit(), "task": task, "split": chosen.split, "rows": as_json(rows, figure)}
    write_whole(folder / "compression.json", json.dumps(made, indent=1) + "\n")
    write_whole(folder / "compression.md", f"{table}\n\nMade by `{line}`, commit {made['commit']}.\n")
    plot(rows, figure, folder / "compression.png")
    return as_text(rows, f"{figure} ({chosen.split})")
