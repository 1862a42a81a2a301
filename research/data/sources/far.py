"""Files behind a protocol that fsspec knows, with the errors of their many libraries made one kind."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import xxhash

from research.errors import UserError


@contextmanager
def reaching(path: object) -> Iterator[None]:
    """Whatever a far file system's library raises, as `OSError`; that it is not installed, as `UserError`."""
    try:
        yield
    except (OSError, UserError):
        raise
    except ImportError as error:
        extra = "; pip install 'hybrid-fine-tuning[s3]'" if str(path).startswith("s3:") else ""
        raise UserError(f"paths: {path}: {error}{extra}") from error
    except Exception as error:  # aiohttp's, botocore's and those of a dozen more
        raise OSError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


class FarFile(io.RawIOBase):
    """The bytes of a file behind `://`, from any place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reaching(path):
            self.raw = cast(IO[bytes], path.open("rb"))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.raw.seekable()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        with reaching(self.path):
            data = self.raw.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        with reaching(self.path):
            return self.raw.seek(place, whence)

    def close(self) -> None:
        if not self.closed:
            self.raw.close()
        super().close()


def far_digest(path: Path) -> str:
    """Of what a file's server says of its version, since reading it would mean to fetch it; `OSError` if it is gone."""
    from upath import UPath

    far = UPath(path)
    with reaching(path):
        info = far.fs.info(far.path)
    facts = {name: str(info[name]) for name in ("ETag", "etag", "size", "LastModified", "mtime") if name in info}
    return xxhash.xxh3_128_hexdigest(json.dumps([str(path), facts], sort_keys=True).encode())
