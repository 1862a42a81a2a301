"""Formats that compare what they wrote with the student: they pass where it is right, and refuse where it is not."""

import pytest
import torch

from research.errors import UserError
from research.inference.export import sentence_transformers_folder, torch_program, transformers_folder
from research.inference.export.graph import Graph

POOLINGS = ["mean", "first", "max", "weighted_mean"]


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_language_model_is_the_students(given, tmp_path, kind):
    assert "vocabulary logits" in transformers_folder.write(given(kind), tmp_path).checked


def test_a_multilabel_head_is_one_of_sigmoids(given, tmp_path):
    from transformers import pipeline

    asked = given("bert", "multilabel")
    transformers_folder.write(asked, tmp_path)
    (answer,) = pipeline("text-classification", model=str(tmp_path), top_k=None)(["my card was lost"])
    expected = torch.from_numpy(asked.model.logits(["my card was lost"], "task")[0]).sigmoid().tolist()
    assert {one["label"]: one["score"] for one in answer} == pytest.approx(
        dict(zip(("card", "cash", "rate"), expected, strict=True)), abs=1e-5
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_sentence_transformers_embeds_alike(given, tmp_path, pooling):
    """By the published library, which the file itself asks."""
    pytest.importorskip("sentence_transformers")
    asked = given("bert", "regress" if pooling == "max" else None, pooling, embedding_norm=2.0)
    sentence_transformers_folder.write(asked, tmp_path)
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(str(tmp_path), device="cpu").encode(["by card", "or in cash ?"])
    if pooling == "max":
        expected = 4 * asked.model.logits(["by card", "or in cash ?"], "task") + 30
    else:
        expected = asked.model.embed(["by card", "or in cash ?"])
        assert torch.from_numpy(found).norm(dim=-1).tolist() == pytest.approx([2.0, 2.0], abs=1e-4)
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", pytest.param("gpt2", marks=pytest.mark.slow),
                                  pytest.param("t5", marks=pytest.mark.slow)])  # fmt: skip
def test_a_program_runs_for_all_shapes(given, tmp_path, kind):
    asked = given(kind, "classify")
    torch_program.write(asked, tmp_path)
    program = torch.export.load(tmp_path / "model.pt2").module()
    graph = Graph(asked)
    for shape in ((1, 3), (5, 31)):
        ids = torch.randint(5, 600, shape, generator=torch.Generator().manual_seed(0))
        inputs = [ids, torch.ones_like(ids), torch.zeros_like(ids)][: len(graph.inputs)]
        torch.testing.assert_close(program(*inputs), graph(*inputs), rtol=1e-4, atol=1e-4)


def test_what_answers_otherwise_is_refused(given, tmp_path, monkeypatch):
    asked = given("bert", "classify", "mean")
    monkeypatch.setattr("research.inference.export.classifier.STATES", 2.0**-4)
    with pytest.raises(
        UserError, match=r"probabilities of random texts differ from the student's by [\d.e-]+, above 1e-05; nothing"
    ):
        transformers_folder.write(asked, tmp_path)
