"""What is recorded of a forward, against the hidden states and attention maps that transformers gives out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from research.data.batch import Tokens
from research.data.masking import Conditional, Masked, NextToken
from research.data.sources import TextFiles
from research.errors import UserError
from research.models import Student, TrainedTokenizer
from research.step import Clean, Step

READS = frozenset({"hidden", "attention"})


def reference_of(model: Any, tokens: Tokens) -> list[tuple[Any, Any]]:
    """Hidden states and attention weights of each stack, by transformers' plain kernel."""
    used = model.config._attn_implementation
    model.set_attn_implementation("eager")
    given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
    if tokens.types is not None:
        given["token_type_ids"] = tokens.types
    if model.config.is_encoder_decoder and tokens.decoder_ids is None:
        model = model.get_encoder()
    out = model(
        input_ids=tokens.ids,
        attention_mask=tokens.mask.long(),
        output_hidden_states=True,
        output_attentions=True,
        **given,
    )
    model.set_attn_implementation(used)
    if "decoder_hidden_states" not in out:
        return [(out.hidden_states, out.attentions)]
    return [
        (out.encoder_hidden_states, out.encoder_attentions),
        (out.decoder_hidden_states, out.decoder_attentions),
    ]


def weights(attention: Any) -> Tensor:
    return attention.scores().masked_fill(~attention.visible(), -torch.inf).softmax(-1)


VIEWS = {"bert": Clean(), "roberta": Clean(), "gpt2": Conditional(), "t5": Conditional()}


@pytest.mark.parametrize("name", VIEWS)
def test_is_what_transformers_gives_out(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(
        "bert" if name == "roberta" else name, architecture={"model_type": name} if name == "roberta" else None
    )
    view = VIEWS[name]
    tokens = batch_of(student, texts, [view], targets=texts[::-1]).views[view]
    encoded = student(tokens, READS)
    references = reference_of(student.model, tokens)
    assert len(encoded.stacks) == len(references) == len(encoded.real())
    torch.testing.assert_close(encoded.hidden, student(tokens).hidden, rtol=0, atol=0)
    for stack, real, (hidden, maps) in zip(encoded.stacks, encoded.real(), references, strict=True):
        assert len(stack.hidden) == len(hidden) == 3 and len(stack.attention) == len(maps) == stack.depth == 2
        for mine, theirs in zip(stack.hidden, hidden, strict=True):
            torch.testing.assert_close(mine[real], theirs[real], rtol=0, atol=1e-9)
        for attention, theirs in zip(stack.attention, maps, strict=True):
            mine = weights(attention).transpose(1, 2)[real]
            torch.testing.assert_close(mine, theirs.transpose(1, 2)[real], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_views_of_one_forward(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Views of unequal length that share a forward have the layers that each has alone."""
    student = tiny(name)
    views = {"bert": [Clean(), Masked(0.3)], "gpt2": [Clean(), Conditional()], "t5": [Clean(), Clean(1)]}[name]
    batch = batch_of(student, texts, views, targets=texts[::-1])
    short = batch_of(student, texts[:3], [views[1]], targets=texts[2::-1], seed=1)
    batch.views[views[1]] = short.views[views[1]]
    step = Step({"s": batch}, student, None, {"s": views}, {"s": READS})
    for view in views:
        together, alone = step.encoded("s", view), student(batch.views[view], READS)
        (real,) = together.real()
        for mine, theirs in zip(together.stacks[0].hidden, alone.stacks[0].hidden, strict=True):
            torch.testing.assert_close(mine[real], theirs[real], rtol=0, atol=1e-9)
        for mine, theirs in zip(together.stacks[0].attention, alone.stacks[0].attention, strict=True):
            assert mine.queries.shape == theirs.queries.shape == mine.values.shape
            rows = (weights(each).transpose(1, 2)[real] for each in (mine, theirs))
            torch.testing.assert_close(*rows, rtol=0, atol=1e-9)


def test_nothing_is_kept_unasked(tiny: Any, texts: list[str], batch_of: Any) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as KERNELS

    student = tiny("bert")
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    kernel = KERNELS[student.model.config._attn_implementation]
    hooks = [len(module._forward_pre_hooks) for module in student.model.modules()]
    assert student(tokens).stacks == ()
    (stack,) = student(tokens, frozenset({"hidden"})).stacks
    assert len(stack.hidden) == 3 and not stack.attention
    (stack,) = student(tokens, frozenset({"attention"})).stacks
    assert len(stack.attention) == 2 and not stack.hidden
    assert KERNELS[student.model.config._attn_implementation] is kernel
    assert [len(module._forward_pre_hooks) for module in student.model.modules()] == hooks


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_gradient_checkpointing_changes_no_gradient(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """A loss on what is recorded reaches the weights, also where the layers run again on the way back."""
    gradients = []
    for checkpointed in (False, True):
        student = tiny(name, gradient_checkpointing=checkpointed, dropout=0.0).train()
        tokens = batch_of(student, texts, [Clean()]).views[Clean()]
        (stack,) = student(tokens, READS).stacks
        loss = stack.hidden[1].square().mean()
        for a in stack.attention:
            loss = loss + (a.queries.square() + a.keys * a.values).mean()
        loss.backward()
        gradients.append({n: p.grad for n, p in student.named_parameters() if p.grad is not None})
    assert len(gradients[0]) > 10
    torch.testing.assert_close(gradients[0], gradients[1])


def test_shared_keys_are_those_of_each_head(slices: Path, texts: list[str], batch_of: Any) -> None:
    """Llama's heads share keys and values, and its queries turn with their places."""
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 128}
    settings = {"model_type": "llama", **small, "num_attention_heads": 4, "num_key_value_heads": 2}
    tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=700, kind="bpe")
    student = Student(architecture=settings, tokenizer=tokenizer)
    student.build()
    student.double().eval()
    tokens = batch_of(student, texts, [NextToken()]).views[NextToken()]
    encoded = student(tokens, READS)
    ((_, maps),) = reference_of(student.model, tokens)
    for attention, theirs in zip(encoded.stacks[0].attention, maps, strict=True):
        mine = weights(attention).transpose(1, 2)[tokens.mask]
        torch.testing.assert_close(mine, theirs.transpose(1, 2)[tokens.mask], rtol=0, atol=1e-6)


def test_attention_that_cannot_be_read(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("bert")
    student.model = AutoModelForMaskedLM.from_config(student.config, attn_implementation="eager").double().eval()
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    assert len(student(tokens, frozenset({"hidden"})).stacks[0].hidden) == 3
    with pytest.raises(UserError, match="attention cannot be read where attn_implementation is eager"):
        student(tokens, READS)


@pytest.mark.parametrize("reads", [{"hidden"}, {"attention"}])
def test_an_embedding_of_the_first_and_last_layer_is_the_same(reads: set[str], make: Any, read: Any) -> None:
    student = make("bert", pooling="first_last")
    tokens = read(student)
    recorded = student(tokens, frozenset(reads))
    torch.testing.assert_close(student.embedding(recorded), student.embedding(student(tokens)))
