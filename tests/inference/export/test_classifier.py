"""Classes of Transformers answer as the head over the pooled states does."""

import pytest
import torch
from torch.nn import functional as F

from research.errors import UserError
from research.inference.export.classifier import classifier
from research.inference.export.plain import plain

NATIVE = [("bert", "mean"), ("bert", "first"), ("roberta", "mean"), ("roberta", "first"),
          ("modernbert", "mean"), ("modernbert", "first"), ("gpt2", "last")]  # fmt: skip


def batch_of(given):
    """Ids and mask of texts of unequal length, with padding that a batch would have."""
    vocabulary = given.student.vocabulary
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 600, (6, 12), generator=rng)
    lengths = torch.tensor([12, 1, 5, 7, 3, 9])
    mask = torch.arange(12) < lengths[:, None]
    return ids.masked_fill(~mask, vocabulary.pad), mask


@pytest.mark.parametrize(("kind", "pooling"), NATIVE)
@pytest.mark.parametrize("problem", ["classify", "regress"])
def test_it_answers_as_a_head_over_pooled_states(given, kind, pooling, problem):
    """The states are the published model's; pooled and mapped here by hand."""
    asked = given(kind, problem, pooling)
    base, head = plain(asked.student), asked.head
    made = classifier(base, head, asked.info, pooling)
    ids, mask = batch_of(asked)
    if kind == "gpt2":
        made.config.pad_token_id = asked.student.vocabulary.pad
    with torch.no_grad():
        states = base.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        rows = zip(states, mask.sum(1).tolist(), strict=True)
        embedding = torch.stack([{"mean": s[:n].mean(0), "first": s[0], "last": s[n - 1]}[pooling] for s, n in rows])
        expected = F.linear(embedding, head.weight, head.bias)
        found = made(input_ids=ids, attention_mask=mask.long()).logits
    if problem == "regress":
        expected = 4 * expected + 30
        assert made.config.problem_type == "regression" and made.config.num_labels == 1
    else:
        assert made.config.id2label == {0: "card", 1: "cash", 2: "rate"}
    assert expected.std(0).min() > 0.01
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("kind", "pooling"), NATIVE)
def test_bfloat16_has_the_range_for_it(given, kind, pooling):
    """Its answers are as near as those of the student in bfloat16 would be."""
    asked = given(kind, "classify", pooling)
    made = classifier(plain(asked.student), asked.head, asked.info, pooling)
    ids, mask = batch_of(asked)
    if kind == "gpt2":
        made.config.pad_token_id = asked.student.vocabulary.pad
    with torch.no_grad():
        expected = made(input_ids=ids, attention_mask=mask.long()).logits
        found = made.to(torch.bfloat16)(input_ids=ids, attention_mask=mask.long()).logits.float()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))


def test_what_no_class_pools_is_refused(given):
    asked = given("bert", "classify", "max")
    with pytest.raises(UserError, match=r"no classifier over bert pooled by max; use --format onnx"):
        classifier(plain(asked.student), asked.head, asked.info, "max")


def test_more_labels_than_a_layer_has_room_for_are_refused(given):
    asked = given("bert", "classify")
    head = torch.nn.Linear(32, 16)
    with pytest.raises(UserError, match="16 labels are too many for 32 units"):
        classifier(plain(asked.student), head, asked.info, "mean")
