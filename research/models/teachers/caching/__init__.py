"""Answers of a teacher on disk: written by ``python -m research.cli teacher cache``, read by CachedTeacher."""
