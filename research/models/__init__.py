"""Students and teachers."""

from research.models.student import Student
from research.models.teachers import EMATeacher, LiveTeacher, Teacher
from research.models.tokenizer import TrainedTokenizer

__all__ = ["EMATeacher", "LiveTeacher", "Student", "Teacher", "TrainedTokenizer"]
