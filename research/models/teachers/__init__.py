"""What the student learns from: a teacher answers a view, and objectives cannot tell how."""

from research.models.teachers.aligned import AlignedTeacher
from research.models.teachers.cached import CachedTeacher
from research.models.teachers.ema import EMATeacher
from research.models.teachers.ensemble import TeacherEnsemble
from research.models.teachers.live import LiveTeacher
from research.models.teachers.remote.teacher import RemoteTeacher
from research.models.teachers.teacher import Answer, Teacher

__all__ = [
    "AlignedTeacher",
    "Answer",
    "CachedTeacher",
    "EMATeacher",
    "LiveTeacher",
    "RemoteTeacher",
    "Teacher",
    "TeacherEnsemble",
]
