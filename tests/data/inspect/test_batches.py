"""Batches as shown say what the tensors hold."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from research.data import CorpusDataModule, TaskDataModule
from research.data.batch import IGNORE
from research.data.inspect.batches import ROWS, shown_batch, shown_row, shown_views
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted
from research.data.sources import CSV, TextFiles
from research.models import Student, TrainedTokenizer
from research.step import Clean

CHINESE = [
    "送餐很快，味道也不错。",
    "菜凉了，等了一个半小时！",
    "分量足，包装好，下次还点。",
    "难吃，再也不来了。",
] * 10


@pytest.fixture
def chinese(tmp_path: Path) -> tuple[Student, TextFiles]:
    (tmp_path / "text.txt").write_text("\n".join(CHINESE), encoding="utf-8")
    source = TextFiles(str(tmp_path / "text.txt"), unit="line")
    settings = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    return Student(architecture=settings, tokenizer=TrainedTokenizer(source, vocab_size=300)), source


def marks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\[([^][ ]+)→([^][ ]+)\]", text)


def masked_of(ids: Tensor, labels: Tensor, tokenizer: Any) -> list[tuple[str, str]]:
    """What a view hides, by the tokenizer's own names."""
    places = (labels != IGNORE).nonzero().flatten()
    names = [tokenizer.convert_ids_to_tokens(row[places].tolist()) for row in (ids, labels)]
    return [("MASK" if a == "[MASK]" else a, b) for a, b in zip(*names, strict=True)]


def test_masks_are_those_of_the_tensors(chinese: tuple[Student, TextFiles], connect: Any) -> None:
    student, source = chinese
    view = Masked(0.4)
    module = connect(CorpusDataModule(source, validation=0, batch_size=40), student, views=[view])
    tokens = module.stream("train")[0].views[view]
    seen = 0
    for row in range(len(tokens.ids)):
        text = shown_row(tokens, row, student)[""]
        expected = masked_of(tokens.ids[row], tokens.labels[row], student.tokenizer)
        assert marks(text) == expected
        seen += len(expected)
        bare = re.sub(r"\[[^][ ]+→([^][ ]+)\]", r"\1", text).replace("[CLS]", "").replace("[SEP]", "")
        assert bare.replace(" ", "") in CHINESE
    assert seen > 100


def test_english_masks(tiny: Any, texts: list[str], batch_of: Callable[..., Any]) -> None:
    student, view = tiny("bert"), Masked(0.3, whole_word=True)
    tokens = batch_of(student, texts, [view]).views[view]
    for row in range(len(texts)):
        text = shown_row(tokens, row, student)[""]
        expected = masked_of(tokens.ids[row], tokens.labels[row], student.tokenizer)
        assert len(expected) == text.count("→") and expected
        assert text.startswith("[CLS]") and text.endswith("[SEP]") and "[PAD]" not in text


def test_views_that_show_the_same_are_named_together(tiny: Any, texts: list[str], batch_of: Callable[..., Any]) -> None:
    student = tiny("bert")
    batch = batch_of(student, texts, [Clean(), Masked(), Clean(1)])
    shown = shown_views(batch, 0, student)
    assert sorted(shown) == ["Clean(dropout_pass=0), Clean(dropout_pass=1)", str(Masked())]


def test_spans_source_and_target_make_the_text(tiny: Any, texts: list[str], batch_of: Callable[..., Any]) -> None:
    student, view = tiny("t5"), SpanCorrupted()
    tokens = batch_of(student, texts, [view]).views[view]
    for row, text in enumerate(texts):
        parts = shown_row(tokens, row, student)
        pieces = re.split(r"(<extra_id_\d+>)", parts["target"].removesuffix("</s>"))
        spans = dict(zip(pieces[1::2], pieces[2::2], strict=True))
        whole = re.sub(r"<extra_id_\d+>", lambda mark: spans[mark[0]], parts["source"])  # noqa: B023
        assert "".join(whole.removesuffix("</s>").split()) == "".join(text.split())
        assert "<extra_id_0>" in parts["source"]


def test_targets_of_a_decoder(tiny: Any, batch_of: Callable[..., Any]) -> None:
    student = tiny("gpt2")
    batch = batch_of(student, ["name of the river"], [Conditional(), NextToken()], targets=["it is long"])
    shown = shown_views(batch, 0, student)
    assert shown[str(Conditional())]["target"] == "it is long<|endoftext|>"
    assert shown[str(Conditional())]["source"].startswith("name of the river<|endoftext|>it is")
    ids = batch.views[NextToken()].ids[0]
    assert shown[str(NextToken())] == {
        "source": student.tokenizer.decode(ids),
        "target": student.tokenizer.decode(ids[1:]),
    }


def test_a_batch_names_places_and_labels(tiny: Any, slices: Path, connect: Any) -> None:
    path = slices / "banking77" / "train.csv"
    student = tiny("bert", architecture={"max_position_embeddings": 64})
    task = TaskDataModule(CSV(str(path), "text", label="category"), batch_size=4, max_length=64)
    module = connect(task, student)
    lines = list(shown_batch(module, module.stream("train"), 3))
    places = [re.fullmatch(rf"  {re.escape(str(path))}:(\d+)  label (\w+)", line) for line in lines]
    found = [place for place in places if place]
    assert len(found) == ROWS
    rows = path.read_text(encoding="utf-8").splitlines()
    for place in found:
        assert rows[int(place[1]) - 1].endswith(place[2])
