"""Training text that holds what a model is later tested on."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import xxhash
from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.utils.text import ngrams, simplify_text
from datatrove.utils.word_tokenizers import load_word_tokenizer

from research.data.cache import key
from research.data.sources.source import Source
from research.errors import UserError


class Decontamination(BaseFilter):
    """Drops documents that share `n` words in a row with a test text (Brown et al. 2020, arXiv:2005.14165, app. C).

    `tests` names the sources of the test splits; text, pair and target of each record count. A test text shorter
    than `n` words, though of at least `shortest`, counts as a whole. Words are compared without case, punctuation
    and diacritics, and every number as the same; `language` chooses the tokenizer for them. The reason a document
    is dropped for is the name of the test.
    """

    name = "Decontamination"

    def __init__(self, tests: dict[str, Source], n: int = 13, shortest: int = 8, language: str = "en"):
        super().__init__()
        if not 1 <= shortest <= n:
            raise UserError(f"shortest is {shortest}; it must be from 1 to n, which is {n}")
        self.tests, self.n, self.shortest, self.language = tests, n, shortest, language

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        words = self._words(doc.text)
        for length, hashes in self._index.items():
            for ngram in _hashes(words, length):
                if ngram in hashes:
                    return False, hashes[ngram]
        return True

    def fingerprint(self) -> str:
        """Of the test texts, which the settings only name."""
        return key({name: source.fingerprint() for name, source in self.tests.items()})

    @cached_property
    def _index(self) -> dict[int, dict[int, str]]:
        """For each length of n-gram, the test that each hash is from."""
        index: dict[int, dict[int, str]] = {}
        for name, source in self.tests.items():
            for record in source:
                for text in (record["text"], record.get("text_pair"), record.get("target")):
                    words = self._words(text or "")
                    length = min(len(words), self.n)
                    if length >= self.shortest:
                        index.setdefault(length, {}).update(dict.fromkeys(_hashes(words, length), name))
        return index

    def _words(self, text: str) -> list[str]:
        words: list[str] = load_word_tokenizer(self.language).word_tokenize(simplify_text(text))
        return words

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_index"}  # each process builds it


def _hashes(words: list[str], n: int) -> Iterator[int]:
    return (xxhash.xxh3_64_intdigest(" ".join(ngram).encode()) for ngram in ngrams(words, n))
