"""A folder that ``AutoModel...from_pretrained`` and ``pipeline`` read: a classifier, or the language model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.data.batch import Example, Row, pad_rows
from research.data.tokenised import encode
from research.inference.export.classifier import classifier
from research.inference.export.given import LONGEST, Given, Use, agreement
from research.inference.export.plain import plain
from research.inference.export.tokenizer import framing, reader

FORMAT = "transformers"
WITHIN = 1e-5  # of probabilities, and of vocabulary logits beside the largest of them
PIPELINES = {"encoder": "fill-mask", "decoder": "text-generation", "encoder-decoder": "text2text-generation"}
CLASSIFIER = """\
from transformers import pipeline

classify = pipeline("text-classification", model="FOLDER", top_k=None)
print(classify(["a text"], truncation=True))"""
PRECISION = "Run it in float32 or bfloat16: the numbers that hold its head are out of float16's range."
LANGUAGE_MODEL = """\
from transformers import AUTO, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AUTO.from_pretrained("FOLDER")"""


def write(given: Given, folder: Path) -> Use:
    """Weights, configuration and tokenizer, read back and compared."""
    model: Any = plain(given.student)
    head, tokenizer = given.head, framing(given.student, given.max_length)
    if head is not None:
        assert given.info is not None
        model = classifier(model, head, given.info, given.student.pooling)
        if given.student.family.name == "decoder":
            _pad(model, tokenizer, given.student.vocabulary.end)
    elif given.task is None and given.student.family.name == "decoder":
        tokenizer = given.student.tokenizer  # a text that is to be gone on with has no end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if head is not None:
        return Use("transformers", "text-classification", CLASSIFIER, _answers(given, folder), PRECISION)
    family = given.student.family
    code = LANGUAGE_MODEL.replace("AUTO,", f"{family.auto_class},").replace("AUTO.", f"{family.auto_class}.")
    return Use("transformers", PIPELINES[family.name], code, _vocabulary_logits(given, folder))


def _pad(model: Any, tokenizer: Any, end: int) -> None:
    """Give a token of its own to padding: Transformers takes the last other one for a text's last."""
    if tokenizer.pad_token_id == end:
        tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
        model.resize_token_embeddings(
            max(len(tokenizer), len(model.get_input_embeddings().weight)), mean_resizing=False
        )
    model.config.pad_token_id = tokenizer.pad_token_id


@torch.no_grad()
def _answers(given: Given, folder: Path) -> str:
    """Of probabilities, or of values where the task is a regression."""
    from transformers import AutoModelForSequenceClassification

    assert given.info is not None
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    read = reader(folder)
    pair = [torch.from_numpy(z) for z in given.compared(lambda *texts: model(**read(*texts)).logits)]
    if given.info.problem == "regress":
        ours, theirs = (values / max(1.0, float(pair[0].abs().max())) for values in pair)
        return agreement(FORMAT, "values of random texts, beside the largest,", ours, theirs, WITHIN)
    ours, theirs = (z.softmax(-1) if given.info.problem == "classify" else z.sigmoid() for z in pair)
    return agreement(FORMAT, "probabilities of random texts", ours, theirs, WITHIN)


@torch.no_grad()
def _vocabulary_logits(given: Given, folder: Path) -> str:
    import transformers

    student = given.student
    texts = [record["text"] for batch in given.batches() for record in batch]
    room = (student.max_length or LONGEST) - 1 - student.family.overhead(pair=False)
    examples = [Example(np.array(ids[:room])) for ids in encode(student.tokenizer, texts) if ids]
    rows = [student.family.frame(example, student.vocabulary) for example in examples]
    apart = student.family.name == "encoder-decoder"
    if apart:
        start = [student.vocabulary.start]
        rows = [Row(row.ids, decoder_ids=np.array([*start, *row.ids[:5]])) for row in rows]
    tokens = pad_rows(rows, student.vocabulary.pad, student.has_types)
    model = getattr(transformers, student.family.auto_class).from_pretrained(folder).eval()
    decoder = {"decoder_input_ids": tokens.decoder_ids} if apart else {}
    logits = model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **decoder).logits
    real = tokens.mask if tokens.decoder_ids is None else torch.ones_like(tokens.decoder_ids, dtype=torch.bool)
    ours = student.vocabulary_head(student(tokens).hidden[real]).logits
    largest = max(1.0, float(ours.abs().max()))
    return agreement(
        FORMAT, "vocabulary logits of random texts, beside the largest,", ours / largest, logits[real] / largest, WITHIN
    )
