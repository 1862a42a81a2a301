"""Files behind a protocol that fsspec knows, with the errors of their many libraries made one kind."""

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit

import xxhash

from research.errors import UserError

log = logging.getLogger(__name__)

BLOCK = 4 << 20  # bytes fetched at once
WAITS = (1, 2, 4, 8, 16)  # seconds before each further try, after those that the file system's library makes
SIGNED = re.compile(r"[?&](x-amz-signature|x-goog-signature|signature|sig|token)=", re.I)

Found = TypeVar("Found")


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
        kind = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError}.get(getattr(error, "status", 0))
        raise (kind or OSError)(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def patiently(path: object, ask: Callable[[], Found]) -> Found:
    """What ``ask`` gives; a server that does not answer is asked again for half a minute, then `OSError`."""
    for wait in WAITS:
        try:
            with reaching(path):
                return ask()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            log.warning("%s: %s; trying again in %g s", path, error, wait)
            time.sleep(wait)
    with reaching(path):
        return ask()


def refuse_secrets(url: str) -> None:
    """Refuse a URL that holds a password or a signature: paths are saved with the run, and shown in messages."""
    if urlsplit(url).password is not None or SIGNED.search(url):
        shown = urlsplit(url).hostname
        told = f"paths: a URL of {shown} holds a secret, which would be saved with the run; leave it out"
        raise UserError(f"{told} and give it by the environment (AWS_..., FSSPEC_...) or the library's own files")


def is_far_file(path: Path) -> bool:
    """Unlike its library, which says no, this raises `OSError` where the server refuses or does not answer."""
    from upath import UPath

    far = UPath(path)
    try:
        with reaching(path):
            return bool(far.fs.info(far.path)["type"] == "file")
    except FileNotFoundError:
        return False


class FarFile(io.RawIOBase):
    """The bytes of a file behind `://`, from any place in it; what fails is tried again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = cast(IO[bytes], patiently(path, lambda: path.open("rb", cache_type="none")))  # type: ignore[call-overload]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.raw.seekable()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        if self.seekable():
            data = patiently(self.path, lambda: self.raw.read(len(buffer)))
        else:  # what is gone of such a stream cannot be asked for again
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


def open_far(path: Path) -> IO[bytes]:
    """A file of an object storage, read in blocks from where it is sought."""
    return io.BufferedReader(FarFile(path), BLOCK)


def far_digest(path: Path) -> str:
    """Of what a file's server says of its version, since reading it would mean to fetch it; `OSError` if it is gone."""
    from upath import UPath

    far = UPath(path)
    with reaching(path):
        info = far.fs.info(far.path)
    facts = {name: str(info[name]) for name in ("ETag", "etag", "size", "LastModified", "mtime") if name in info}
    return xxhash.xxh3_128_hexdigest(json.dumps([str(path), facts], sort_keys=True).encode())
