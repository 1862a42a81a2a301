"""A folder for each label, a file for each document."""

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from research.data.cache import key
from research.data.sources.fields import to_record
from research.data.sources.files import FileSource
from research.data.sources.source import Record
from research.errors import UserError

log = logging.getLogger(__name__)


class Folders(FileSource):
    """A record for each file in a sub-folder of `path`; the sub-folder's name is its label.

    The layout that `sklearn.datasets.load_files` reads. `path` is a folder, or `package:NAME/relative/path`
    for one inside an installed package, which is not imported. Labels and files come sorted by name; names
    that begin with "." or "__" are passed over. A text is that of its file, white space included. Bytes that
    are not `encoding` are dropped with a warning, since old corpora hold a few; a file with more than one
    such character in a hundred is refused. `where` is the path below `path`, and line 1.
    """

    def __init__(self, path: str, encoding: str = "utf-8"):
        super().__init__(path, encoding)

    def parts(self) -> list[Self]:
        return [self]  # its files are small and many, and their labels come from their place below `path`

    def files(self) -> list[Path]:
        root = self._root()
        found = [file for file in root.glob("*/*") if file.is_file() and not _passed_over(file)]
        if not found:
            raise UserError(f"path: {self.paths[0]}: no sub-folder with files; each sub-folder is a label")
        return sorted(found)

    def read(self, path: Path) -> Iterator[Record]:
        where = f"{path.parent.name}/{path.name}:1"
        text = "".join(line for _, line in self.lines(path, errors="replace"))
        lost = text.count("\ufffd")
        told = f"{path}: {lost} of {len(text)} characters are not {self.encoding}"
        if 100 * lost > len(text):
            raise UserError(f"{told}; name the files' own `encoding`, say latin-1 or gb18030")
        if lost:
            log.warning(f"{told} and are dropped")
        text = text.replace("\ufffd", "")
        if text.strip():
            yield to_record(where, {"text": text, "label": path.parent.name})

    def fingerprint(self) -> str:
        return key(super().fingerprint(), [f"{file.parent.name}/{file.name}" for file in self.files()])

    def _root(self) -> Path:
        [given] = self.paths
        root = Path(given).expanduser()
        if given.startswith("package:"):
            name, _, below = given.removeprefix("package:").partition("/")
            spec = importlib.util.find_spec(name) if name.isidentifier() else None
            if spec is None or not spec.submodule_search_locations:
                raise UserError(f"path: {given}: package {name} is not here: pip install {name}")
            root = Path(spec.submodule_search_locations[0], below)
        if not root.is_dir():
            raise UserError(f"path: {given}: no such folder")
        return root


def _passed_over(file: Path) -> bool:
    return any(name.startswith((".", "__")) for name in (file.parent.name, file.name))
