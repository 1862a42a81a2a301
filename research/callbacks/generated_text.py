"""How good the texts are that the student writes."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed as dist
from lightning import Callback, Trainer

from research.data.batch import pad_rows
from research.errors import UserError
from research.evaluation.generation import require_libraries, text_figures
from research.inference.writing import write_texts
from research.ranks import many
from research.sharding import Whole
from research.step import Clean

if TYPE_CHECKING:
    from lightning import LightningModule


class GeneratedText(Callback, Whole):
    """On ``test``, :func:`research.evaluation.generation.text_figures` of what the student writes, greedily, for the
    first sources of a stream; logged as ``test/NAME/bleu``, ``chrf`` and ``rouge_1``, ``_2`` and ``_l``.

    Equal sources count once, and their targets are all references. They are read as the tokenizer reads them. Needs the
    extra ``generation``.

    Args:
        stream: a task of problem ``generate`` with a test split.
        examples: how many sources at most, at least 1, which bounds the cost: a forward for each token of each.
        name: what the figures are called.
    """

    def __init__(self, stream: str, examples: int = 200, name: str = "generated") -> None:
        if examples < 1:
            raise UserError(f"examples is {examples}; it must be at least 1")
        self.stream, self.examples, self.name = stream, examples, name

    def setup(self, trainer: Trainer, pl_module: "LightningModule", stage: str) -> None:
        module: Any = pl_module
        info, key = module.streams.get(self.stream), "trainer.callbacks: GeneratedText"
        if info is None or info.problem != "generate":
            raise UserError(f"{key}: data.streams has no task '{self.stream}' of problem generate")
        if module.student.family.name == "encoder":
            raise UserError(f"{key}: model.student is an encoder, which cannot write")
        require_libraries()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if self.stream not in data.held_out_streams("test"):
            raise UserError(f"trainer.callbacks: GeneratedText needs a test split of data.streams.{self.stream}")
        source = data.streams[self.stream]
        equal: dict[int, list[int]] = {}  # the examples of one source text, by its hash
        for index, text in enumerate(source.hashes("test").tolist()):
            equal.setdefault(text, []).append(index)
        targets = {same[0]: [source.gold("test", index) for index in same] for same in equal.values()}
        mine = list(targets)[: self.examples][trainer.global_rank :: trainer.world_size]
        texts = gathered(self._written(module.student, source, mine))
        figures = text_figures(list(texts.values()), [targets[index] for index in texts])
        module.log_dict({f"test/{self.name}/{name}": value for name, value in figures.items()}, logger=False)

    def _written(self, student: Any, source: Any, indices: list[int]) -> dict[int, str]:
        """The text that the student writes for each of these examples of the test split."""
        stream, rng = source.stream("test"), np.random.default_rng(0)
        device = next(student.parameters()).device
        indices = sorted(indices, key=lambda index: stream.examples.lengths[index])
        texts: dict[int, str] = {}
        for start in range(0, len(indices), stream.batch_size):
            few = indices[start : start + stream.batch_size]
            rows = [Clean().build(stream.examples[i], student.family, student.vocabulary, rng) for i in few]
            tokens = pad_rows(rows, student.vocabulary.pad, student.has_types).to(device)
            texts |= zip(few, write_texts(student, tokens, source.max_target_length), strict=True)
        return texts


def gathered(texts: dict[int, str]) -> dict[int, str]:
    """Those of all processes."""
    if not many():
        return texts
    parts: list[dict[int, str]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, texts)
    return {index: text for part in parts for index, text in part.items()}
