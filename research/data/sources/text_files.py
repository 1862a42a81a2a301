"""Plain text."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from research.data.sources.files import FileSource
from research.data.sources.source import Record


class TextFiles(FileSource):
    """Unlabelled text: a record for each line, paragraph or file.

    Paragraphs are divided by blank lines. White space around a unit is dropped, and so are units that hold
    nothing else. `where` is the file and the line on which the unit starts.
    """

    endings = (".txt",)

    def __init__(
        self,
        paths: str | list[str],
        unit: Literal["line", "paragraph", "document"] = "paragraph",
        encoding: str = "utf-8",
        max_bad: int = 0,
    ):
        super().__init__(paths, encoding, max_bad)
        self.unit = unit

    def read(self, path: Path) -> Iterator[Record]:
        for number, text in self._units(self.lines(path)):
            where = f"{path}:{number}"
            if (text := text.strip()) and self.readable(where, text):
                yield {"text": text, "where": where}

    def _units(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        if self.unit == "line":
            yield from lines
            return
        start, gathered = 1, list[str]()
        for number, line in lines:
            if line.strip():
                start = start if gathered else number
                gathered.append(line)
            elif self.unit == "document" and gathered:
                gathered.append(line)
            elif gathered:
                yield start, "".join(gathered)
                gathered = []
        yield start, "".join(gathered)
