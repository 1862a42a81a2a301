"""What the student learns from: a teacher answers a view, and objectives cannot tell how."""

from research.models.teachers.ema import EMATeacher
from research.models.teachers.live import LiveTeacher
from research.models.teachers.teacher import Answer, Teacher

__all__ = ["Answer", "EMATeacher", "LiveTeacher", "Teacher"]
