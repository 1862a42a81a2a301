"""Changed views of a text that keep its label, a file each, and back-translation of a source."""

from research.data.augment.back_translation import BackTranslation
from research.data.augment.contextual import Contextual
from research.data.augment.cutoff import TokenCutoff
from research.data.augment.eda import EDA
from research.data.augment.span_masking import SpanMasked
from research.data.augment.translator import Translator

__all__ = ["EDA", "BackTranslation", "Contextual", "SpanMasked", "TokenCutoff", "Translator"]
