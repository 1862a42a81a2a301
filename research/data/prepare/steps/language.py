"""The language of a document, without a model to download."""

from functools import cached_property
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter

from research.errors import UserError


class Language(BaseFilter):
    """Keeps documents of some languages, as py3langid identifies them (Lui & Baldwin 2012).

    `languages` are ISO 639-1 codes; `threshold`, 0 to 1, is the least probability, which text of a dozen letters
    often misses. The language of a document is the reason it is dropped for; those kept have it, and its
    probability, as `language` and `language_score` in their metadata. Where the network is in reach,
    `datatrove.pipeline.filters.LanguageFilter` asks fastText instead.
    """

    name = "Language"

    def __init__(self, languages: list[str], threshold: float = 0.5):
        super().__init__()
        if not languages:
            raise UserError("languages: the list is empty; name at least one, such as en")
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold is {threshold}; it must be from 0 to 1")
        unknown = sorted(set(languages) - set(self._identifier.labels))
        if unknown:
            raise UserError(f"languages: py3langid knows no '{unknown[0]}'; codes are of two letters, such as en or zh")
        self.languages, self.threshold = languages, threshold

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        language, probability = self._identifier.classify(doc.text)
        doc.metadata |= {"language": language, "language_score": round(float(probability), 4)}
        if language not in self.languages:
            return False, language
        return probability >= self.threshold or (False, f"unsure {language}")

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_identifier"}  # each process loads it
