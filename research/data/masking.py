"""Views that hide tokens, or ask for tokens, drawn afresh for each batch on the worker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from research.data.batch import IGNORE, Example, Row
from research.errors import UserError
from research.step import Clean, View

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


def mask_tokens(
    ids: np.ndarray,
    vocabulary: "Vocabulary",
    rng: np.random.Generator,
    probability: float = 0.15,
    whole_word: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """BERT's masking (Devlin et al. 2019, arXiv:1810.04805) of one text, ids (L,).

    Each token that is not special, or each word, is chosen with ``probability`` (one at least, so that a short text
    carries a loss); of the chosen tokens 80% become the mask token, 10% a random token, 10% stay.

    Returns:
        The masked ids (L,), and labels (L,) that are -100 where nothing is predicted.
    """
    if vocabulary.mask < 0:
        raise UserError("masked language modelling needs a tokenizer with a mask token; the student's has none")
    ordinary = ~vocabulary.special[ids]
    units = np.cumsum(~vocabulary.continues[ids] | ~ordinary) if whole_word else np.arange(len(ids))
    candidates = np.unique(units[ordinary])
    if len(candidates) == 0:
        return ids, np.full(len(ids), IGNORE)
    chosen_units = candidates[rng.random(len(candidates)) < probability]
    if len(chosen_units) == 0:
        chosen_units = rng.choice(candidates, 1)
    chosen = ordinary & np.isin(units, chosen_units)
    fate = rng.random(len(ids))
    masked = ids.copy()
    masked[chosen & (fate < 0.8)] = vocabulary.mask
    random = chosen & (fate >= 0.9)
    masked[random] = rng.choice(np.flatnonzero(~vocabulary.special), random.sum())
    return masked, np.where(chosen, ids, IGNORE)


def corrupt_spans(
    ids: np.ndarray, vocabulary: "Vocabulary", rng: np.random.Generator, density: float = 0.15, mean_length: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """T5's span corruption (Raffel et al. 2020, arXiv:1910.10683) of one text, ids (L,) without special tokens.

    ``round(L * density)`` tokens in ``round(that / mean_length)`` spans of random lengths are removed.

    Returns:
        The source, where each span is one sentinel, and the target, where each sentinel comes before its span and
        one more closes the last. Both lack the end token.
    """
    if len(ids) == 0:
        return ids, vocabulary.sentinels[:1]
    removed = min(max(round(len(ids) * density), 1), max(len(ids) - 1, 1))
    spans = min(max(round(removed / mean_length), 1), removed, len(ids) - removed or 1, len(vocabulary.sentinels) - 1)
    noise, kept = cut(removed, spans, rng), cut(len(ids) - removed, spans, rng)
    source: list[np.ndarray] = []
    target: list[np.ndarray] = []
    at = 0
    for i in range(spans):
        sentinel = vocabulary.sentinels[i : i + 1]
        source += [ids[at : at + kept[i]], sentinel]
        at += kept[i]
        target += [sentinel, ids[at : at + noise[i]]]
        at += noise[i]
    return np.concatenate(source), np.concatenate([*target, vocabulary.sentinels[spans : spans + 1]])


def cut(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Cut ``total`` into ``parts`` positive lengths, each way equally likely (all zero but the first if it is 0)."""
    if total < parts:
        return np.array([total] + [0] * (parts - 1))
    borders = np.sort(rng.choice(np.arange(1, total), parts - 1, replace=False))
    return np.diff(np.concatenate([[0], borders, [total]]))


@dataclass(frozen=True)
class Masked(View):
    """:func:`mask_tokens` of the framed text.

    ``whole_word`` hides all tokens of a word together. Where a script puts no spaces between words, as Chinese, a word
    is what the tokenizer takes for one: with BERT's and ours each character, with SentencePiece and byte-level BPE each
    token. Words of several characters would need a segmenter.
    """

    probability: float = 0.15
    whole_word: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise UserError(f"masking probability is {self.probability}; it must lie in (0, 1)")

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.family.name == "encoder", "an encoder")
        self.require(key, student.vocabulary.mask >= 0, "a tokenizer with a mask token")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.frame(example, vocabulary)
        ids, labels = mask_tokens(row.ids, vocabulary, rng, self.probability, self.whole_word)
        return Row(ids, labels=labels, second=row.second)


@dataclass(frozen=True)
class NextToken(View):
    """The framed text, where each position predicts the next one, and the last one the end if the text ends there."""

    def beside(self) -> View:
        return Clean()

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.family.name == "decoder", "a decoder")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.frame(example, vocabulary)
        ids = row.ids if example.ends else row.ids[:-1]
        return Row(ids, labels=np.append(ids[1:], IGNORE), second=row.second)


@dataclass(frozen=True)
class SpanCorrupted(View):
    """:func:`corrupt_spans` of the text, for an encoder-decoder."""

    density: float = 0.15
    mean_length: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.density < 1:
            raise UserError(f"span density is {self.density}; it must lie in (0, 1)")
        if self.mean_length < 1:
            raise UserError(f"mean span length is {self.mean_length}; it must be at least 1")

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.family.name == "encoder-decoder", "an encoder-decoder")
        self.require(key, len(student.vocabulary.sentinels) > 1, "a tokenizer with T5's sentinels, <extra_id_0> and on")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        source, target = corrupt_spans(example.first, vocabulary, rng, self.density, self.mean_length)
        end = np.array([vocabulary.end])
        target = np.concatenate([target, end])
        return Row(
            np.concatenate([source, end]),
            labels=target,
            decoder_ids=np.concatenate([[vocabulary.start], target[:-1]]),
        )


@dataclass(frozen=True)
class Conditional(View):
    """Source and target of a generation task, with the loss on the target."""

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.family.name != "encoder", "a student that can generate")
        self.require(key, problem == "generate", "a stream of problem generate")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        return family.conditional(example, vocabulary)
