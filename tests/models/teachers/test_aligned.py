"""A teacher of another tokenizer, against distributions worked out from both models' full logits."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from research.data.batch import Batch, Example, pad_rows
from research.data.masking import Conditional, NextToken
from research.data.packing import pack_rows
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import Student
from research.models.teachers import AlignedTeacher
from research.objectives import Distillation, HiddenDistillation
from research.objectives.divergence import ForwardKL
from research.step import Clean, Step

T = 2.0
TEXTS = ["The Robert of the United States 味道 😀 was there in the second season.", "It is the first of these.", "no"]


def full_logits(student: Student, text: str) -> tuple[list[int], Tensor]:
    """Ids of a text with its end, and the logits of their predictions: row t predicts token t + 1."""
    ids = [*student.tokenizer(text, add_special_tokens=False)["input_ids"], student.vocabulary.end]
    with torch.no_grad():
        return ids, student.model(input_ids=torch.tensor([ids])).logits[0]


def cut(student: Student, ids: list[int]) -> list[int]:
    """Bytes of text before each token, from the letters that stand for bytes; the end token counts as one."""
    sizes = [
        len(token) if i != student.vocabulary.end else 1 for i, token in zip(ids, tokens_of(student, ids), strict=True)
    ]
    return [0, *np.cumsum(sizes).tolist()]


def tokens_of(student: Student, ids: list[int]) -> list[str]:
    return student.tokenizer.convert_ids_to_tokens(ids)  # type: ignore[return-value]


def same_tokens(student: Student, teacher: AlignedTeacher) -> tuple[list[int], list[int]]:
    """Ids of the tokens with the same letters that are whole characters, and of the end."""
    mine, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    whole = [t for t in mine if t in theirs and "\ufffd" not in student.tokenizer.decode([mine[t]])]
    return [mine[t] for t in whole], [theirs[t] for t in whole]


def shared_or_not(logits: Tensor, shared: list[int]) -> Tensor:
    others = sorted({*range(len(logits))} - {*shared})
    return torch.cat([logits[shared], logits[others].logsumexp(0)[None]])


def expected_divergence(student: Student, teacher: AlignedTeacher, texts: list[str]) -> Tensor:
    """Mean KL at T over shared tokens and the rest, where both have a token of the same bytes at the same place."""
    mine, theirs = same_tokens(student, teacher)
    found = []
    for text in texts:
        (ids, logits), (their_ids, their_logits) = full_logits(student, text), full_logits(teacher.student, text)
        cuts, their_cuts = cut(student, ids), cut(teacher.student, their_ids)
        for t in range(1, len(ids)):
            whole = "\ufffd" not in student.tokenizer.decode([ids[t]]) + student.tokenizer.decode(ids[:t])
            if cuts[t] in their_cuts and whole:
                u = their_cuts.index(cuts[t])
                if u and their_cuts[u + 1] == cuts[t + 1]:
                    p, q = shared_or_not(their_logits[u - 1], theirs), shared_or_not(logits[t - 1], mine)
                    found.append(kl_divergence(Categorical(logits=p / T), Categorical(logits=q / T)))
    return torch.stack(found).mean()


def framed(teacher: AlignedTeacher, *texts: str) -> list[int]:
    """[CLS] text [SEP] text [SEP]"""
    tokenizer = teacher.tokenizer
    parts = [[*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id] for text in texts]
    return [tokenizer.cls_token_id, *(token for part in parts for token in part)]


def batch(student: Student, view: Any, batch_of: Any, **given: Any) -> Batch:
    return batch_of(student, TEXTS, (view,), **given)


def test_divergence_is_over_the_same_tokens_and_the_rest(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    teacher = aligned(student)
    objective = Distillation("s", tokens=NextToken(), temperature=T)
    step = Step({"s": batch(student, NextToken(), batch_of)}, student, teacher, {"s": objective.views()})
    loss = objective(step)
    torch.testing.assert_close(loss, T**2 * expected_divergence(student, teacher, TEXTS), rtol=0, atol=1e-9)
    loss.backward()
    assert all(p.grad is None for p in teacher.student.parameters())


def test_the_same_vocabulary_is_the_live_teacher(tiny: Any, aligned: Any, batch_of: Any) -> None:
    """Of plain ASCII every token is a span; what no token reads, as bytes of characters, is the rest."""
    student = tiny("gpt2")
    teacher = aligned(student, size=700)
    texts = ["The first of the second season.", "It was there"]
    tokens = batch_of(student, texts, (NextToken(),)).views[NextToken()]
    head = student.vocabulary_head(student(tokens).at_labels()[0])
    answer = teacher.answer("s", NextToken(), tokens)
    assert len(answer.spans.first) == len(head.features) and bool(answer.spans.single.all())
    full = head.divergence(answer._head, ForwardKL())
    coarse = answer.divergence(head, ForwardKL(), 1.0)
    assert 0 < coarse <= full and coarse > 0.5 * full


def test_packed_rows_are_read_a_document_each(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    teacher = aligned(student)
    apart = batch_of(student, TEXTS, (NextToken(),)).views[NextToken()]
    examples = [Example(np.array(student.tokenizer(t, add_special_tokens=False)["input_ids"])) for t in TEXTS]
    rows = [NextToken().build(e, student.family, student.vocabulary, np.random.default_rng(0)) for e in examples]
    packed = pad_rows([pack_rows(rows[:2]), pack_rows(rows[2:])], student.vocabulary.pad, False)
    losses = []
    for tokens in (apart, packed):
        head = student.vocabulary_head(student(tokens).at_labels()[0])
        losses.append(teacher.answer("s", NextToken(), tokens).divergence(head, ForwardKL(), T))
    torch.testing.assert_close(*losses, rtol=0, atol=1e-9)


def test_targets_alone_where_sources_carry_no_loss(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    teacher = aligned(student)
    tokens = batch_of(student, TEXTS, (Conditional(),), targets=TEXTS[::-1]).views[Conditional()]
    spans = teacher.answer("s", Conditional(), tokens).spans
    labels = tokens.labels[tokens.labels != -100]
    counts = [len(student.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in TEXTS[::-1]]
    assert len(labels) == sum(counts) + 3
    assert spans.first.min() == 0, "the first token of the target is predicted from the source"
    starts = np.cumsum([0, *(count + 1 for count in counts[:-1])])
    assert set(starts) <= set(spans.first.tolist())


def test_class_logits_are_the_teachers_own(tiny: Any, aligned: Any, batch_of: Any) -> None:
    """An encoder teaches a decoder the classes of a text: it reads the text in its own tokens."""
    student = tiny("gpt2")
    teacher = aligned(student, "bert", size=500)
    batch = batch_of(student, TEXTS[1:], (Clean(),), labels=[0, 1])
    teacher.fit_probe("s", [batch], ["a", "b"])
    teacher.student.double()
    logits = teacher.answer("s", Clean(), batch.views[Clean()]).class_logits("s")
    rows = []
    for text in TEXTS[1:]:
        with torch.no_grad():
            hidden = teacher.student.model.bert(torch.tensor([framed(teacher, text)])).last_hidden_state
        rows.append(hidden[0].mean(0))
    pooled = torch.stack(rows)
    torch.testing.assert_close(logits, teacher.student.heads["s"].linear(pooled).detach())


def test_pairs_stay_pairs(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("bert")
    teacher = aligned(student, "bert", size=500)
    tokens = batch_of(student, ["the first", "no"], (Clean(),), seconds=["the second", "it was"]).views[Clean()]
    read, _ = teacher._read(tokens)
    assert read.ids[0].tolist() == framed(teacher, "the first", "the second")
    assert read.ids[1].tolist()[:6] == framed(teacher, "no", "it was") and not read.mask[1, 6:].any()
    first = len(framed(teacher, "the first"))
    assert read.types is not None and read.types[0].tolist() == [0] * first + [1] * (read.ids.shape[1] - first)


def test_long_texts_are_cut(tiny: Any, aligned: Any, batch_of: Any) -> None:
    """The teacher has room for 128 tokens; spans behind that are left out."""
    student = tiny("gpt2", architecture={"n_positions": 512})
    teacher = aligned(student)
    tokens = batch_of(student, ["the first of these was there " * 30], (NextToken(),)).views[NextToken()]
    answer = teacher.answer("s", NextToken(), tokens)
    assert int(answer.spans.their_last.max()) == 126 and len(answer.spans.first) < tokens.ids.shape[1]


def test_refusals(tiny: Any, aligned: Any, batch_of: Any) -> None:
    decoder = tiny("gpt2")
    tokens = batch_of(decoder, TEXTS, (NextToken(),)).views[NextToken()]
    answer = aligned(decoder, "bert", size=500).answer("s", NextToken(), tokens)
    with pytest.raises(UserError, match="next tokens of two decoders alone"):
        answer.divergence(decoder.vocabulary_head(decoder(tokens).at_labels()[0]), ForwardKL(), 1.0)
    with pytest.raises(UserError, match="of other tokens than the student's"):
        _ = answer.encoded
    with pytest.raises(UserError, match="AlignedTeacher shows none; use a LiveTeacher"):
        HiddenDistillation("s").check("h", decoder.family, {"s": StreamInfo("unlabelled")}, aligned(decoder))
    with pytest.raises(UserError, match="cannot be cached"):
        aligned(decoder).fingerprint()
