"""Changed views of a text that keep its label, a file each; sources of translations and of what a teacher writes."""

from research.data.augment.back_translation import BackTranslation
from research.data.augment.contextual import Contextual
from research.data.augment.continuation import Continuation
from research.data.augment.cutoff import TokenCutoff
from research.data.augment.eda import EDA
from research.data.augment.group_swap import GroupSwapped
from research.data.augment.span_masking import SpanMasked
from research.data.augment.teacher_targets import TeacherTargets
from research.data.augment.translator import Translator

__all__ = [
    "EDA",
    "BackTranslation",
    "Contextual",
    "Continuation",
    "GroupSwapped",
    "SpanMasked",
    "TeacherTargets",
    "TokenCutoff",
    "Translator",
]
