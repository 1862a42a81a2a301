"""The next film's objective against the plain softmax, and a student that shows films by their texts."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from research.applications.recommendation.objectives import Following, sampled_softmax
from research.applications.recommendation.student import SPECIAL, FilmStudent, FilmVectors
from research.data.batch import Example
from research.errors import UserError

SMALL = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 64}  # fmt: skip


def test_the_batch_estimates_the_softmax_over_all_films() -> None:
    """The gradient of many batches drawn by q comes near that over all films; without the correction it does not."""
    torch.manual_seed(0)
    films, states = torch.randn(6, 4), torch.randn(5000, 4)
    share = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    labels = torch.multinomial(share, 5000, replacement=True)

    def gradient(loss_of: "object") -> torch.Tensor:
        vectors = films.clone().requires_grad_()
        loss = loss_of(vectors)  # type: ignore[operator]
        return torch.autograd.grad(loss, vectors)[0]

    def batches(corrected: torch.Tensor):
        def loss(vectors: torch.Tensor) -> torch.Tensor:
            parts = torch.arange(5000).split(500)
            each = [sampled_softmax(states[p], vectors[labels[p]], labels[p], corrected[labels[p]]) for p in parts]
            return torch.stack(each).mean()

        return loss

    whole = gradient(lambda vectors: F.cross_entropy(states @ vectors.T, labels))

    def angle(share: torch.Tensor) -> float:
        return F.cosine_similarity(gradient(batches(share)).flatten(), whole.flatten(), dim=0).item()

    assert angle(share) > angle(torch.ones(6))


def test_a_row_of_the_same_film_is_no_negative() -> None:
    """By hand: rows 0 and 1 have film 0 with vector e0, row 2 film 1 with e1; the states are e0, e1, e2."""
    states, vectors, labels = torch.eye(3), torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1])
    expected = [-np.log(np.e / (np.e + 1)), -np.log(1 / (1 + np.e)), np.log(3)]
    assert sampled_softmax(states, vectors, labels, torch.ones(3)).item() == pytest.approx(np.mean(expected))


@pytest.fixture(scope="module")
def student(films: Path) -> FilmStudent:
    student = FilmStudent(str(films), SMALL, encoder=None, own_from=0)
    student.build()
    return student


def test_each_film_is_a_token(student: FilmStudent) -> None:
    data = student.films
    assert len(student.tokenizer) == len(data.names) + len(SPECIAL)
    ids = student.tokenizer(" ".join(data.names[:5]), add_special_tokens=False)["input_ids"]
    assert ids == list(range(len(SPECIAL), len(SPECIAL) + 5))


def test_the_next_film_is_asked_for_at_the_end(student: FilmStudent) -> None:
    v = student.vocabulary
    row = Following().build(Example(np.array([8, 9]), np.array([7])), student.family, v, np.random.default_rng(0))
    assert row.ids.tolist() == [v.begin, 8, 9, v.mask, v.end]
    assert row.labels is not None and row.labels.tolist() == [-100, -100, -100, 7, -100]


def test_vectors_are_texts_projected_and_own_ones_where_they_are_free() -> None:
    texts, free = torch.randn(8, 3), torch.tensor([True] * 6 + [False] * 2)
    vectors = FilmVectors(texts, free, 4)
    torch.nn.init.normal_(vectors.own)
    told = texts @ vectors.projection.weight.T
    torch.testing.assert_close(vectors.weight, torch.cat([told[:6] + vectors.own[:6], told[6:]]))
    torch.testing.assert_close(vectors(torch.tensor([[7, 2]])), vectors.weight[[7, 2]][None])


def test_films_need_a_text_or_a_vector(films: Path) -> None:
    with pytest.raises(UserError, match="set encoder, own_from or both"):
        FilmStudent(str(films), SMALL)
