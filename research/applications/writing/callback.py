"""What a student writes from held-out facts, measured and kept."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.applications.writing.decoding import DECODINGS, written
from research.applications.writing.facts import Facts, named
from research.applications.writing.quality import quality
from research.applications.writing.source import Places
from research.errors import UserError
from research.evaluation.generation import require_libraries
from research.files import write_whole
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule

TEXTS = "texts.jsonl"

Written = tuple[list[Facts], list[list[str]], dict[str, list[str]]]  # what the student read, people's and its texts


class FactsToText(Callback, Whole):
    """On ``test`` and at each validation, :func:`research.applications.writing.quality.quality` of each way of
    decoding, logged as ``test/DECODING/FIGURE``; the sentences of the test lie in the run's folder as ``texts.jsonl``.

    Args:
        stream: a task over :class:`Places`.
        decodings: names of :data:`research.applications.writing.decoding.DECODINGS`; the default is all.
    """

    def __init__(self, stream: str, decodings: list[str] | None = None) -> None:
        self.stream, self.decodings = stream, decodings or list(DECODINGS)
        if unknown := [name for name in self.decodings if name not in DECODINGS]:
            raise UserError(f"trainer.callbacks: FactsToText: no decoding '{unknown[0]}'; there are {[*DECODINGS]}")

    def setup(self, trainer: Trainer, pl_module: "LightningModule", stage: str) -> None:
        module: Any = pl_module
        info = module.streams.get(self.stream)
        if info is None or info.problem != "generate":
            raise UserError(
                f"trainer.callbacks: FactsToText: no task '{self.stream}' of problem generate in data.streams"
            )
        if module.student.family.name == "encoder":
            raise UserError("trainer.callbacks: FactsToText: model.student is an encoder, which cannot write")
        require_libraries()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        places, references, texts = self._measure(trainer, pl_module, "test")
        if trainer.is_global_zero:
            write_whole(Path(trainer.default_root_dir) / TEXTS, "".join(lines(places, references, texts)))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if not trainer.sanity_checking:
            self._measure(trainer, pl_module, "validation")

    def _measure(self, trainer: Trainer, pl_module: "LightningModule", split: str) -> Written:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        source = data.streams.get(self.stream)
        held_out = getattr(source, split, None)
        if not isinstance(held_out, Places):
            key = f"data.streams.{self.stream}.init_args.{split}"
            raise UserError(f"trainer.callbacks: FactsToText needs {key}, of class {Places.__module__}.Places")
        places, references = grouped(held_out)
        training = seen(data.streams.values())
        most, texts = source.max_target_length, dict[str, list[str]]()
        for name in self.decodings:
            texts[name] = written(module.student, places, most, DECODINGS[name])
            figures = quality(texts[name], places, references, training)
            told = {f"{split}/{name}/{figure}": value for figure, value in figures.items()}
            module.log_dict(told, logger=False)
            for logger in trainer.loggers if split == "validation" else []:
                logger.log_metrics(told, trainer.fit_loop.epoch_loop.batch_progress.total.ready)
        return places, references, texts


def grouped(source: Places) -> tuple[list[Facts], list[list[str]]]:
    """The places of a source, each once, and the sentences that people wrote of each."""
    sentences: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for path in source.files():
        for facts, row in source.places(path):
            sentences.setdefault(tuple(facts.items()), []).append(row["target"])
    return [dict(facts) for facts in sentences], list(sentences.values())


def seen(streams: Any) -> list[str]:
    """The sentences, without names, that streams over places train on."""
    sentences: dict[str, None] = {}
    for stream in streams:
        if isinstance(stream.source, Places):
            places = {stream.where("train", index) for index in range(len(stream.rows["train"][1]))}
            kept = (record for record in stream.source if record["where"] in places)
            sentences |= dict.fromkeys(record.get("target") or record["text"] for record in kept)
    return list(sentences)


def lines(places: list[Facts], references: list[list[str]], texts: dict[str, list[str]]) -> list[str]:
    """A line of JSON a place: its facts, what people wrote, and what the student wrote by each way of decoding."""
    made = []
    for i, (facts, people) in enumerate(zip(places, references, strict=True)):
        said = {name: named(all_[i], facts) for name, all_ in texts.items()}
        made.append(json.dumps({"facts": facts, "people": people, **said}, ensure_ascii=False) + "\n")
    return made
