"""Students and teachers."""

from research.models.student import Student
from research.models.teachers import (
    AlignedTeacher,
    CachedTeacher,
    EMATeacher,
    LiveTeacher,
    RemoteTeacher,
    Teacher,
    TeacherEnsemble,
)
from research.models.tokenizer import TrainedTokenizer
from research.models.trimmed import TrimmedTokenizer

__all__ = [
    "AlignedTeacher",
    "CachedTeacher",
    "EMATeacher",
    "LiveTeacher",
    "RemoteTeacher",
    "Student",
    "Teacher",
    "TeacherEnsemble",
    "TrainedTokenizer",
    "TrimmedTokenizer",
]
