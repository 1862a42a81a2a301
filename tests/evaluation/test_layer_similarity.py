"""Linear CKA against the kernels that define it, and states against those of Transformers."""

from typing import Any

import numpy as np
import pytest
import torch

from research.evaluation.layer_similarity import layer_states, linear_cka


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    centre = np.eye(len(k)) - 1 / len(k)
    return float(np.trace(k @ centre @ m @ centre))


def test_against_kernels() -> None:
    x = torch.randn(40, 5, generator=torch.manual_seed(0))
    y = torch.randn(40, 7) + x[:, :1]
    k, m = (x @ x.T).double().numpy(), (y @ y.T).double().numpy()
    assert linear_cka(x, y) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)), rel=1e-4)


def test_turned_scaled_and_moved_states_are_alike_and_others_are_not() -> None:
    x = torch.randn(500, 6, generator=torch.manual_seed(0))
    turn, _ = torch.linalg.qr(torch.randn(6, 6))
    assert linear_cka(x, 3 * x @ turn + 2) == pytest.approx(1, abs=1e-6)
    assert linear_cka(x, torch.randn(500, 6)) < 0.1


def test_states(tiny: Any, texts: list[str]) -> None:
    student = tiny("bert")
    found = layer_states(student, texts[:1])
    begin, end = student.tokenizer.cls_token_id, student.tokenizer.sep_token_id
    ids = torch.tensor([[begin, *student.tokenizer(texts[0], add_special_tokens=False)["input_ids"], end]])
    with torch.no_grad():
        expected = student.model(input_ids=ids, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) == 3
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other[0].float(), rtol=0, atol=1e-5)
