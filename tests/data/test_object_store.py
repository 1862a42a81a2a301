"""Text streamed from an S3 server is that of the disk, entered where a run stopped, through faults."""

import gzip
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from research.data import tokenised
from research.data.sources import JSONLines, Parquet, far
from research.data.sources.files import FileSource
from research.data.texts import Kept, Place, Pool, Texts
from research.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "streaming"))
from store import Store

FILES, DOCUMENTS, GROUP = 20, 200, 50
NONE = Kept(0.0, 0, np.zeros(0, np.uint64))
KINDS: dict[str, type[FileSource]] = {
    "parquet": Parquet,
    "one": Parquet,
    "jsonl.gz": JSONLines,
    "jsonl.zst": JSONLines,
}


@pytest.fixture(scope="module")
def folder(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real paragraphs, each made one of its own by a number, in shards of three kinds, and one long Parquet file."""
    folder = tmp_path_factory.mktemp("s") / "corpus"
    lines = [x for x in (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines() if len(x) > 40]
    texts = [f"{i} {lines[i % len(lines)]}"[:400] for i in range(FILES * DOCUMENTS)]
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    pq.write_table(pa.table({"text": texts}), folder / "one" / "all.parquet", row_group_size=GROUP, compression="none")
    for number in range(FILES):
        shard = texts[number * DOCUMENTS : (number + 1) * DOCUMENTS]
        plain = "".join(json.dumps({"text": text}) + "\n" for text in shard).encode()
        pq.write_table(pa.table({"text": shard}), folder / "parquet" / f"{number:03}.parquet", row_group_size=GROUP)
        (folder / "jsonl.gz" / f"{number:03}.jsonl.gz").write_bytes(gzip.compress(plain))
        (folder / "jsonl.zst" / f"{number:03}.jsonl.zst").write_bytes(zstandard.compress(plain))
    (folder / "torn.jsonl.gz").write_bytes((folder / "jsonl.gz" / "000.jsonl.gz").read_bytes()[:-4000])
    (folder / "latin.jsonl").write_bytes(b'{"text": "one"}\n{"text": "caf\xe9"}\n')
    table = (folder / "parquet" / "000.parquet").read_bytes()
    third = pq.read_metadata(folder / "parquet" / "000.parquet").row_group(2).column(0).data_page_offset
    (folder / "torn.parquet").write_bytes(table[: third + 100] + bytes(1000) + table[third + 1100 :])
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Store]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with Store(folder, folder.parent) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture
def store(running: Store) -> Iterator[Store]:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # with what it remembers of folders
    running.sent()
    yield running
    running.tell()


def texts_of(place: object, kind: str, lanes: int = 1) -> Texts:
    """The shards of a kind, below a folder or in a bucket."""
    return Texts(KINDS[kind](f"{place}/{kind}"), NONE, 500, 240, 8, [0], lanes)


def one_pass(texts: Texts, lane: int = 0) -> list[Pool]:
    """Its last pool is followed by one that is read in vain: for files on the disk."""
    return list(takewhile(lambda pool: pool.place.which == 0, texts.pools(lane, Place())))


def pieces(pools: list[Pool]) -> list[str]:
    return [piece.text for pool in pools for batch in pool.batches for piece in batch]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_from_the_disk(kind: str, folder: Path, store: Store) -> None:
    expected = one_pass(texts_of(folder, kind))
    assert len(set(pieces(expected))) == FILES * DOCUMENTS
    assert list(islice(texts_of(store.url, kind).pools(0, Place()), len(expected))) == expected
    sizes = {f"{kind}/{path.name}": path.stat().st_size for path in (folder / kind).iterdir()}
    sent = store.sent()
    assert set(sent) == set(sizes)
    footer = 1 << 16 if kind in ("parquet", "one") else 0  # what pyarrow reads of a file's end
    assert all(sent[name] <= size + footer + 2000 for name, size in sizes.items()), "each file is fetched once"


def test_lanes_fetch_files_of_their_own(folder: Path, store: Store) -> None:
    found, fetched = list[str](), Counter[str]()
    for lane in range(4):
        expected = one_pass(texts_of(folder, "parquet", lanes=4), lane)
        found += pieces(list(islice(texts_of(store.url, "parquet", lanes=4).pools(lane, Place()), len(expected))))
        fetched.update(store.sent().keys())
    assert len(found) == len(set(found)) == FILES * DOCUMENTS
    assert list(fetched.values()) == [1] * FILES


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_at_nine_tenths_fetches_little(
    kind: str, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on fetches what its next pool needs, from the many files or from the row groups of one."""
    monkeypatch.setattr(far, "BLOCK", 1 << 13)
    monkeypatch.setattr(tokenised, "CHARACTERS", 1 << 13)
    expected = one_pass(texts_of(folder, kind))
    list(islice(texts_of(store.url, kind).pools(0, Place()), len(expected)))
    everything = store.sent().total()
    at = len(expected) * 9 // 10
    assert next(texts_of(store.url, kind).pools(0, expected[at].place)) == expected[at]
    assert 0 < store.sent().total() < 0.2 * everything


def test_a_server_that_dies_and_comes_back(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading waits for it in the middle of a file, and misses nothing."""
    monkeypatch.setattr(far, "BLOCK", 1 << 13)
    monkeypatch.setattr(far, "WAITS", (0.2,) * 100)
    monkeypatch.setattr(tokenised, "CHARACTERS", 1 << 13)
    expected, found = one_pass(texts_of(folder, "one")), list[Pool]()
    again = threading.Timer(0.5, store.start)
    for pool in islice(texts_of(store.url, "one").pools(0, Place()), len(expected)):
        found.append(pool)
        if len(found) == 2:
            store.stop()
            again.start()
    again.join()
    assert found == expected
    assert store.sent()["one/all.parquet"] > 0, "it was asked after it came back"


def test_a_server_that_stays_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked again some times, each with a line, then one error names the file."""
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(far, "WAITS", (0.01, 0.02))
    pools = texts_of(store.url, "parquet").pools(0, Place())
    next(pools)
    store.stop()
    try:
        with pytest.raises(UserError, match=rf"^{store.url}/parquet/\d+\.parquet: cannot be read.*") as told:
            list(islice(pools, 30))
    finally:
        store.start()
    assert "\n" not in str(told.value)
    assert [record.message[-22:] for record in caplog.records] == ["trying again in 0.01 s", "trying again in 0.02 s"]


def test_a_server_that_stumbles(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some answers of 503 are got over, by the library or by asking again."""
    monkeypatch.setattr(far, "WAITS", (0.2,) * 100)
    expected = one_pass(texts_of(folder, "jsonl.gz"))
    pools = texts_of(store.url, "jsonl.gz").pools(0, Place())
    found = [next(pools)]
    store.tell(status=503)
    threading.Timer(1.0, store.tell).start()
    assert [*found, *islice(pools, len(expected) - 1)] == expected


@pytest.mark.parametrize(("status", "told"), [(403, "cannot be reached: .*(Forbidden|403)"), (404, "no such file")])
def test_refused_at_once(status: int, told: str, store: Store) -> None:
    """To ask again does not help, so nobody waits."""
    store.tell(status=status)
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"^paths: {store.url}/parquet/000\.parquet: {told}"):
        list(Parquet(f"{store.url}/parquet/000.parquet"))
    assert time.monotonic() - start < 5


def test_refused_in_the_middle(store: Store) -> None:
    """As where credentials run out."""
    pools = texts_of(store.url, "parquet").pools(0, Place())
    next(pools)
    store.tell(status=403)
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"^{store.url}/parquet/\d+\.parquet: cannot be read.*(Forbidden|403)"):
        list(islice(pools, 30))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (lambda url: JSONLines(f"{url}/torn.jsonl.gz"), r"torn\.jsonl\.gz: cannot be read after line \d+: Compressed"),
        (lambda url: JSONLines(f"{url}/latin.jsonl"), r"latin\.jsonl:2: not utf-8 at byte 29 of the file"),
        (lambda url: Parquet(f"{url}/torn.parquet"), r"torn\.parquet: cannot be read after row 100: "),
    ],
)
def test_a_broken_shard_is_named_with_its_row(source, told: str, store: Store) -> None:
    with pytest.raises(UserError, match=f"^{store.url}/{told}"):
        list(source(store.url))


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@example.org/a.jsonl",
        "https://example.org/a.parquet?X-Amz-Algorithm=x&X-Amz-Signature=hunter2",
        "https://example.org/a.parquet?sv=2020&sig=hunter2",
    ],
)
def test_secrets_do_not_belong_into_a_path(url: str) -> None:
    with pytest.raises(UserError, match=r"^paths: a URL of example\.org holds a secret") as told:
        JSONLines(url)
    assert "hunter2" not in str(told.value)
