"""Documents in which an earlier step left nothing."""

from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter


class Blank(BaseFilter):
    """Drops documents without text."""

    name = "Blank"

    def filter(self, doc: Document) -> bool:
        return bool(doc.text.strip())
