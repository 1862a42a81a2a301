"""Files are there whole or not at all."""

from pathlib import Path

import pytest

from research.errors import UserError
from research.files import write_whole


def test_what_breaks_while_it_is_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "deep" / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "deep" / "a", "half a \ud800 pair")
    assert [(path.name, path.read_text()) for path in (tmp_path / "deep").iterdir()] == [("a", "old")]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/a: cannot be written \(.*\)$"):
        write_whole(tmp_path / "file" / "a", "text")
