"""Abilities against transformers' own losses and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from research.data.masking import corrupt_spans, mask_tokens
from research.data.sources import CSV, TextFiles
from research.errors import UserError
from research.evaluation.abilities import Halves, LanguageModel, LinearProbe, Similarity
from research.evaluation.abilities.halves import matched
from research.evaluation.abilities.language_model import language_model_loss
from research.models import Student


def losses(student: Any, place: int, ids: np.ndarray) -> torch.Tensor:
    """Of one text, with transformers' model: the loss of each predicted token."""
    rng, words = np.random.default_rng(place), student.vocabulary
    if student.family.name == "encoder":
        ids, labels = mask_tokens(np.array([words.begin, *ids, words.end]), words, rng)
        logits = student.model(torch.tensor(ids)[None]).logits[0]
    elif student.family.name == "decoder":
        ids = np.array([*ids, words.end])
        labels, logits = ids[1:], student.model(torch.tensor(ids)[None]).logits[0, :-1]
    else:
        source, labels = corrupt_spans(ids, words, rng)
        source, labels = np.append(source, words.end), np.append(labels, words.end)
        logits = student.model(torch.tensor(source)[None], labels=torch.tensor(labels)[None]).logits[0]
    return F.cross_entropy(logits, torch.tensor(labels), reduction="none")[torch.tensor(labels) != -100]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_language_model_loss_is_that_of_transformers(tiny: Any, texts: list[str], name: str) -> None:
    student = tiny(name)
    ids = [np.array(student.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    with torch.no_grad():
        expected = torch.cat([losses(student, place, one) for place, one in enumerate(ids)]).mean()
    assert language_model_loss(student, texts) == pytest.approx(expected.item(), rel=1e-6)


def test_a_text_that_is_cut_does_not_end(tiny: Any, texts: list[str]) -> None:
    student = tiny("gpt2")
    ids = student.tokenizer(texts[0], add_special_tokens=False)["input_ids"][:9]
    with torch.no_grad():
        logits = student.model(torch.tensor(ids)[None]).logits[0, :-1]
    expected = F.cross_entropy(logits, torch.tensor(ids[1:]))
    assert language_model_loss(student, texts[:1], max_length=10) == pytest.approx(expected.item(), rel=1e-6)


def test_matched_by_hand() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    second = torch.tensor([[0.9, 0.1], [5.0, 0.2], [2.0, 2.1]])  # the second's nearest is the third
    assert matched(first, second) == pytest.approx(1 / 3), "of the first it is the second, by a hair"
    assert matched(second, second) == 1.0


def test_a_probe_is_scikit_learns_on_mean_states(tiny: Any, slices: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    student = tiny("bert")
    train, test = (
        CSV(str(slices / "banking77" / f"{split}.csv"), "text", label="category") for split in ("train", "test")
    )

    def states(source: CSV) -> np.ndarray:
        begin, end = student.vocabulary.begin, student.vocabulary.end
        texts = student.tokenizer([record["text"] for record in source], add_special_tokens=False)["input_ids"]
        ids = [[begin, *text[:22], end] for text in texts]
        with torch.no_grad():
            rows = [student.model(torch.tensor(i)[None], output_hidden_states=True).hidden_states[-1] for i in ids]
        return torch.stack([row[0].mean(0) for row in rows]).numpy()

    scaler = StandardScaler().fit(states(train))
    fitted = LogisticRegression(C=0.5, max_iter=1000)
    fitted.fit(scaler.transform(states(train)), [record["label"] for record in train])
    expected = fitted.score(scaler.transform(states(test)), [record["label"] for record in test])
    assert LinearProbe(train, test, max_length=24, c=0.5).measure(student) == pytest.approx(expected)
    assert 0.2 < expected < 1


def test_no_published_head_no_loss(tiny: Any, slices: Path, tmp_path: Path) -> None:
    whole = tiny("bert")
    whole.tokenizer.save_pretrained(tmp_path)
    whole.model.save_pretrained(tmp_path)
    ability = LanguageModel(TextFiles(str(slices / "wikitext.txt")), count=3, max_length=32)
    student = Student(str(tmp_path))
    student.build()
    assert student.untrained == [] and ability.measure(student.eval()) > 0
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    student = Student(str(tmp_path))
    student.build()
    with pytest.raises(UserError, match=r"brings no weights for cls, so its language-model loss says nothing"):
        ability.measure(student.eval())


def test_refused_before_weights(tiny: Any, slices: Path) -> None:
    source = TextFiles(str(slices / "wikitext.txt"))
    with pytest.raises(UserError, match="Halves: max_length is 7; it must be at least 8"):
        Halves(source, max_length=7)
    with pytest.raises(UserError, match=r"abilities\.lm: max_length is 256; the student takes 128 tokens"):
        LanguageModel(source, max_length=256).check("lm", tiny("gpt2"))
    with pytest.raises(UserError, match="LinearProbe: c is 0; it must be above 0"):
        LinearProbe(source, source, c=0)


def test_settings_change_the_fingerprint(slices: Path) -> None:
    texts, banks = TextFiles(str(slices / "wikitext.txt")), CSV(str(slices / "banking77" / "test.csv"), "text")
    made = [
        Halves(texts), Halves(banks), Halves(texts, count=9), Halves(texts, max_length=9), Similarity(texts),
        LanguageModel(texts), LinearProbe(texts, texts), LinearProbe(texts, banks), LinearProbe(texts, texts, c=1),
    ]  # fmt: skip
    assert len({ability.fingerprint() for ability in made}) == len(made)
    assert Halves(texts).fingerprint() == Halves(texts).fingerprint()
