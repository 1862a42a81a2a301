"""Which words of a text an answer hangs on: what is lost where each is left out (occlusion, Zeiler and Fergus 2014)."""

import torch
from torch import Tensor

from research.data.stream import StreamInfo
from research.inference.model import Model

WORDS = 96  # of a text, each of which costs a row to encode


def word_spans(model: Model, text: str) -> list[tuple[int, int]]:
    """The first and the last character, not included, of each word, as the student's tokenizer parts them."""
    encoding = model.student.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    numbers = dict.fromkeys(number for number in encoding.word_ids if number is not None)
    return [span for number in numbers if (span := encoding.word_to_chars(number)) is not None]


def saying(info: StreamInfo, logits: Tensor) -> Tensor:
    """How much logits (N, C) say each answer (N, C), as attributions share it out among words.

    Of ``classify`` that is the label's log-probability; of ``multilabel`` its logit; of ``regress``, where C is 1, the
    value, in the unit of the training labels.
    """
    if info.problem == "classify":
        return logits.log_softmax(-1)
    return logits * info.scale[1] if info.problem == "regress" else logits


def occlusion(model: Model, text: str, task: str | None = None) -> list[tuple[int, int, float]]:
    """The span of each of the first 96 words, and what the answer loses without it, by :func:`saying`.

    The answer is the likeliest label, or the value.
    """
    spans = word_spans(model, text)[:WORDS]
    stream = model.task(task, "classify", "multilabel", "regress")
    logits = model.logits([text, *(text[:start] + text[end:] for start, end in spans)], stream)
    told = saying(model.streams[stream], torch.from_numpy(logits).double())
    said = told[:, int(logits[0].argmax())]
    return [(start, end, float(said[0] - without)) for (start, end), without in zip(spans, said[1:], strict=True)]
