"""What the sources that read files share: finding them, decoding their lines, and a digest of their bytes."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import IO, ClassVar, cast

import xxhash

from research.data.cache import key
from research.data.sources.source import Record, Source
from research.errors import UserError

COMPRESSIONS = ("", ".gz", ".bz2", ".xz", ".zst")


class FileSource(Source):
    """Records from local files.

    `paths` are files, folders (every file below with one of the class's `endings`, sorted) and globs (`**`
    for any depth, sorted). Files that end in .gz, .bz2, .xz or .zst are decompressed while they are read.
    `encoding` is any of Python's; a byte order mark at the start of UTF-8 is skipped.
    """

    endings: ClassVar[tuple[str, ...]]

    def __init__(self, paths: str | list[str], encoding: str = "utf-8"):
        self.paths = [paths] if isinstance(paths, str) else paths
        try:
            self.encoding = codecs.lookup(encoding).name
        except LookupError as error:
            raise UserError(f"encoding: Python knows none called '{encoding}'") from error

    @abstractmethod
    def read(self, path: Path) -> Iterator[Record]:
        """The records of one file."""

    def __iter__(self) -> Iterator[Record]:
        for path in self.files():
            empty = True
            for record in self.read(path):
                empty = False
                yield record
            if empty:
                raise UserError(f"{path}: no records in this file; fill it or leave it out")

    def fingerprint(self) -> str:
        settings = {name: value for name, value in vars(self).items() if name != "paths"}
        return key(type(self).__name__, settings, [_digest(path) for path in self.files()])

    def files(self) -> list[Path]:
        """The files that `paths` stand for, in their order, each once."""
        found: dict[Path, None] = {}
        for given in self.paths:
            path = Path(given).expanduser()
            if path.is_dir():
                endings = tuple(one + compression for one in self.endings for compression in COMPRESSIONS)
                matches = [file for file in path.rglob("*") if file.name.endswith(endings)]
                missing = f"no {' or '.join(self.endings)} file below this folder"
            elif has_magic(given) and not path.exists():
                matches, missing = [Path(name) for name in glob(str(path), recursive=True)], "matches no file"
            else:
                matches, missing = [path], "no such file"
            matches = sorted(filter(Path.is_file, matches))
            if not matches:
                raise UserError(f"paths: {given}: {missing}")
            found.update(dict.fromkeys(matches))
        if not found:
            raise UserError("paths: the list is empty; name at least one file")
        return list(found)

    def lines(self, path: Path, newline: str | None = None, errors: str = "strict") -> Iterator[tuple[int, str]]:
        """Number, from 1, and text of each line; `newline` and `errors` are those of `open`."""
        # The mark is no text: left in, it would become a part of the first column's name.
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        try:
            with _open(path) as stream:
                yield from enumerate(io.TextIOWrapper(stream, encoding, errors, newline), 1)
        except UnicodeDecodeError as error:
            line, byte = _first_undecodable(path, encoding)
            told = f"{path}:{line}: not {self.encoding} at byte {byte} of the file"
            raise UserError(f"{told}; name the file's own `encoding`, say latin-1 or gb18030") from error
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> IO[bytes]:
    match path.suffix:
        case ".gz":
            return cast(IO[bytes], gzip.open(path))
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            import pyarrow as pa

            return pa.input_stream(str(path))
    return path.open("rb")


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return digest.hexdigest()


def _first_undecodable(path: Path, encoding: str) -> tuple[int, int]:
    """Line, from 1, and byte, from 0, of the first thing in a file that `encoding` cannot decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = read = 0
    with _open(path) as stream:
        while True:
            chunk = stream.read(1 << 16)
            read += len(chunk)
            try:
                lines += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                # error.object also holds what the decoder kept of the chunk before
                before = error.object[: error.start].count(b"\n")
                return lines + before + 1, read - len(error.object) + error.start
