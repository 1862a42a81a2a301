"""Our own Transformer is a BERT."""

import pytest
import torch

from research.inference.export.plain import plain


@pytest.mark.parametrize("settings", [{}, {"positions": "learned"}, {"type_vocab_size": 0}])
def test_the_hybrid_transformer_is_a_bert(given, settings):
    student = given("hybrid_transformer", architecture=settings).student
    bert = plain(student)
    assert type(bert).__name__ == "BertForMaskedLM"
    ids, mask = torch.randint(5, 600, (3, 9), generator=torch.Generator().manual_seed(0)), torch.ones(3, 9)
    mask[0, 5:] = 0
    types = torch.arange(9).ge(4).long().expand(3, 9) if settings.get("type_vocab_size", 2) else torch.zeros_like(ids)
    more = {"token_type_ids": types} if settings.get("type_vocab_size", 2) else {}
    with torch.no_grad():
        expected = student.model(input_ids=ids, attention_mask=mask, **more).logits
        found = bert(input_ids=ids, attention_mask=mask, **more).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-4)
