"""Back-translation through real checkpoints: two tiny T5s that know six sentences by heart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from research.data import TaskDataModule
from research.data.augment import BackTranslation, Translator
from research.data.cache import default_folder
from research.data.sources import CSV, TextFiles
from research.errors import UserError
from research.models import TrainedTokenizer

HERE = ["my card has not come", "where is my card", "how do i top up", "can i get cash", "who are you", "thank you"]
ABROAD = ["card come not", "card where", "top up how", "cash can", "you who", "thank"]
BACK = ["my card is not here yet", "where is it", "how do i add money", "can i get cash", "your name", "many thanks"]


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory, slices: Path) -> Callable[..., str]:
    """A folder with a T5 that maps the texts of one list to those of the other."""
    tokenizer: Any = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=400, kind="unigram").load()

    def memorised(texts: list[str], translations: list[str]) -> str:
        torch.manual_seed(0)
        size: dict[str, Any] = dict(d_model=48, d_kv=24, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.0)
        model = T5ForConditionalGeneration(
            T5Config(vocab_size=len(tokenizer), decoder_start_token_id=tokenizer.pad_token_id, **size)
        )
        end = tokenizer.eos_token
        source = tokenizer([t + end for t in texts], padding=True, return_tensors="pt", return_token_type_ids=False)
        target = tokenizer([t + end for t in translations], padding=True, return_tensors="pt")
        labels = target["input_ids"].masked_fill(target["attention_mask"] == 0, -100)
        optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
        for _ in range(400):
            loss = model(**source, labels=labels).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if loss < 0.005:
                break
        folder = tmp_path_factory.mktemp("t5")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return memorised


@pytest.fixture(scope="module")
def translators(memorised: Callable[..., str]) -> tuple[Translator, Translator]:
    return Translator(memorised([f"out: {t}" for t in HERE], ABROAD), prefix="out: "), Translator(
        memorised(ABROAD, BACK)
    )


@pytest.fixture
def intents(json_lines: Any) -> Any:
    return json_lines([{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(HERE)], "intents.jsonl")


def test_there_and_back(translators: Any, intents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record, then its translation with its label and origin; one that comes back unchanged is not repeated."""
    source = BackTranslation(intents, *translators, beams=2, batch_size=4)
    records = list(source)
    expected = []
    for i, (text, translation) in enumerate(zip(HERE, BACK, strict=True)):
        expected += [(text, f"l{i % 2}"), *([(translation, f"l{i % 2}")] if translation != text else [])]
    assert [(r["text"], r["label"]) for r in records] == expected and len(expected) == 11
    assert records[1]["origin"].strip() == HERE[0] and records[1]["where"] == f"{records[0]['where']} translated"
    assert not list((default_folder() / "back_translation").glob("*.new"))
    monkeypatch.setattr(Translator, "load", lambda self: pytest.fail("translated a second time"))
    assert list(source) == records


def test_no_translation_leaks_between_splits(translators: Any, intents: Any, tiny: Any, connect: Any) -> None:
    """Texts and translations that the source holds fall into the same split."""
    source = BackTranslation(intents, *translators)
    stream = connect(TaskDataModule(source, validation=0.4), tiny("bert"))
    places = {split: {stream.where(split, i).removesuffix(" translated") for i in range(len(stream.rows[split][1]))}
              for split in ("train", "validation")}  # fmt: skip
    assert places["train"] and places["validation"] and not places["train"] & places["validation"]
    assert len(stream.rows["train"][1]) + len(stream.rows["validation"][1]) == 11


def test_pairs(translators: Any, json_lines: Any) -> None:
    pairs = json_lines([{"text": HERE[0], "text_pair": HERE[3]}, {"text": HERE[1], "text_pair": HERE[2]}])
    records = list(BackTranslation(pairs, *translators))
    assert [(r["text"], r["text_pair"]) for r in records] == [
        (HERE[0], HERE[3]), (BACK[0], BACK[3]), (HERE[1], HERE[2]), (BACK[1], BACK[2])
    ]  # fmt: skip


def test_a_text_that_is_too_long(translators: Any, json_lines: Any) -> None:
    """It stays without a translation rather than being cut."""
    rows = json_lines([{"text": " ".join(HERE)}, {"text": HERE[0]}])
    assert [r["text"] for r in BackTranslation(rows, *translators, max_length=40)] == [" ".join(HERE), HERE[0], BACK[0]]


def test_fingerprint_follows_what_decides(translators: Any, intents: Any, slices: Path) -> None:
    there, back = translators
    other = CSV(str(slices / "banking77" / "train.csv"), text="text")
    variants = [
        BackTranslation(intents, there, back),
        BackTranslation(other, there, back),
        BackTranslation(intents, back, there),
        BackTranslation(intents, Translator(there.model), back),
        BackTranslation(intents, there, back, beams=1),
    ]
    assert len({source.fingerprint() for source in variants}) == len(variants)
    assert variants[0].fingerprint() == BackTranslation(intents, there, back, batch_size=2).fingerprint()


def test_stopped_midway_leaves_nothing(translators: Any, intents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = BackTranslation(intents, *translators, beams=3, batch_size=2)
    calls = []

    def stop(self: Any, record: Any) -> Any:
        calls.append(record)
        if len(calls) == 3:
            raise KeyboardInterrupt
        yield record

    whole = type(intents).read
    monkeypatch.setattr(type(intents), "read", lambda self, path: (
        item for record in whole(self, path) for item in stop(self, record)))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        list(source)
    monkeypatch.undo()
    assert len(list(source)) == 11


def test_no_sequence_to_sequence_model(tiny: Any, tmp_path: Path, intents: Any) -> None:
    student = tiny("bert")
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    bert = Translator(str(tmp_path))
    with pytest.raises(UserError, match=r"translator .*: cannot be loaded for sequence-to-sequence"):
        list(BackTranslation(intents, bert, bert))


@pytest.mark.parametrize("name", ["beams", "batch_size", "max_length"])
def test_impossible_settings(name: str, intents: Any) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"{name} is 0; it must be at least 1"):
        BackTranslation(intents, Translator("a"), Translator("b"), **settings)
