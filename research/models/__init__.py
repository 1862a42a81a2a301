"""Students and teachers."""

from research.models.student import Student
from research.models.teachers import LiveTeacher, Teacher
from research.models.tokenizer import TrainedTokenizer

__all__ = ["LiveTeacher", "Student", "Teacher", "TrainedTokenizer"]
