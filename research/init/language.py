"""The language of texts, as far as the choice of a published model hangs on it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

ENGLISH = {"the", "of", "and", "to", "in", "is", "a", "i", "it", "that", "for", "my", "you", "was", "with", "on", "are"}
CHINESE = 0.3  # of the letters, above which texts are Chinese though they name other things in Latin letters
FUNCTION_WORDS = 0.1  # of an English text's words at least


def language_of(texts: Sequence[str]) -> str:
    """``Chinese``, ``English``, or ``another``: by the letters, and by the share of English function words."""
    text = " ".join(texts).lower()
    scripts = Counter(unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha())
    total = max(scripts.total(), 1)
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if scripts["CJK"] / total > CHINESE and kana / total < 0.1:
        return "Chinese"
    words = re.findall(r"[^\W\d_]+", text)
    english = sum(word in ENGLISH for word in words) / max(len(words), 1)
    return "English" if scripts["LATIN"] / total > 0.8 and english >= FUNCTION_WORDS else "another"
