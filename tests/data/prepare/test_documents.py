import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from datatrove.data import Document

from research.data.prepare.documents import Handed, Read, Write
from research.data.sources import CSV, JSONLines, Record, Source, TextFiles
from research.errors import UserError


def test_every_part_is_read_by_one_task(slices: Path) -> None:
    source = CSV(str(slices / "banking77"), text="text", label="category")
    wiki = TextFiles(str(slices / "wikitext.txt"))
    shares = [list(Read({"bank": source, "wiki": wiki}).run(rank=rank, world_size=4)) for rank in range(4)]
    assert [{document.id.split(":")[0].rpartition("/")[2] for document in share} for share in shares] == [
        {"test.csv"},
        {"train.csv"},
        {"wikitext.txt"},
        set(),
    ]
    assert [d.text for d in shares[0] + shares[1]] == [record["text"] for record in source]
    assert shares[0][0].metadata == {"source": "bank", "label": next(iter(source))["label"]}


class Noisy(Source):
    """Leaves one record out, and says so as file sources do."""

    def __iter__(self) -> Iterator[Record]:
        logging.getLogger("research.data.sources.files").warning("left out: a.warc:12: no length")
        yield {"text": "one", "where": "a.warc:0", "meta": {"url": "http://example.com"}}

    def fingerprint(self) -> str:
        return ""


def test_warnings_of_sources_are_counted_and_metadata_kept() -> None:
    step = Read({"crawl": Noisy()})
    (document,) = step.run()
    assert (document.id, document.metadata) == ("a.warc:0", {"url": "http://example.com", "source": "crawl"})
    assert step.stats["warnings"].total == 1


def test_blank_records_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text\none\n" "\n')
    step = Read({"a": CSV(str(tmp_path / "a.csv"), text="text")})
    assert [document.text for document in step.run()] == ["one"]
    assert (step.stats["blank"].total, step.stats["total"].total, step.stats["from_a"].total) == (1, 1, 1)


@pytest.mark.parametrize(("compression", "ending"), [("zstd", "zst"), ("gzip", "gz")])
def test_written_documents_are_read_again(tmp_path: Path, compression: str, ending: str) -> None:
    """Whatever the metadata are called: datatrove would write the second document to a file named 9."""
    documents = [Document("味道 \u2028 ok", "a:1"), Document("", "a:2", metadata={"rank": 9, "n": None})]
    assert list(Write(tmp_path, compression).run(documents, rank=3)) == documents
    (path,) = tmp_path.iterdir()
    assert path.name == f"00003.jsonl.{ending}"
    assert [record["text"] for record in JSONLines(str(path))] == ["味道 \u2028 ok", ""]
    if compression == "zstd":
        assert list(Handed(tmp_path).run(rank=3)) == documents
        assert list(Handed(tmp_path).run(rank=4)) == []


def test_torn_file_is_refused(tmp_path: Path) -> None:
    list(Write(tmp_path).run([Document(f"{i} {i * i}", str(i)) for i in range(1000)]))
    path = tmp_path / "00000.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"00000\.jsonl\.zst: cannot be read: .*; remove the folder"):
        list(Handed(tmp_path).run())
