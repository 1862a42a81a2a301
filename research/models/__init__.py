"""Students and teachers."""

from research.models.student import Student
from research.models.teachers import AlignedTeacher, EMATeacher, LiveTeacher, RemoteTeacher, Teacher
from research.models.tokenizer import TrainedTokenizer

__all__ = ["AlignedTeacher", "EMATeacher", "LiveTeacher", "RemoteTeacher", "Student", "Teacher", "TrainedTokenizer"]
