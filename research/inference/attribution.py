"""Which words of a text an answer hangs on: what is lost where each is left out (occlusion, Zeiler and Fergus 2014)."""

import numpy as np

from research.inference.model import Model

WORDS = 96  # of a text, each of which costs a row to encode


def word_spans(model: Model, text: str) -> list[tuple[int, int]]:
    """The first and the last character, not included, of each word, as the student's tokenizer parts them."""
    encoding = model.student.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    numbers = dict.fromkeys(number for number in encoding.word_ids if number is not None)
    return [span for number in numbers if (span := encoding.word_to_chars(number)) is not None]


def occlusion(model: Model, text: str, task: str | None = None) -> list[tuple[int, int, float]]:
    """The span of each of the first 96 words, and what the answer loses without it.

    Of ``classify`` that is log-probability of the label that is answered; of ``multilabel`` the logit of the likeliest
    label; of ``regress`` the value, in the unit of the training labels.
    """
    spans = word_spans(model, text)[:WORDS]
    stream = model.task(task, "classify", "multilabel", "regress")
    info = model.streams[stream]
    logits = model.logits([text, *(text[:start] + text[end:] for start, end in spans)], stream).astype(np.float64)
    if info.problem == "classify":
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    if info.problem == "regress":
        logits *= info.scale[1]
    said = logits[:, int(logits[0].argmax())]
    return [(start, end, float(said[0] - without)) for (start, end), without in zip(spans, said[1:], strict=True)]
