"""Sources read the same from a web server and an S3 server as from the disk."""

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.data.sources import CSV, CommonCrawl, JSONLines, LabelledLines, Parquet, TextFiles
from research.data.sources.files import FileSource
from research.errors import UserError

SOURCES: dict[str, Callable[[str], FileSource]] = {
    "commoncrawl/whirlwind.warc.gz": CommonCrawl,
    "commoncrawl/whirlwind.warc.wet": CommonCrawl,
    "reddit/comments.ndjson.zst": lambda path: JSONLines(path, text="body", label="subreddit"),
    "banking77/test.csv": lambda path: CSV(path, text="text", label="category"),
    "trec/test.all": lambda path: LabelledLines(path, encoding="latin-1"),
    "dev.parquet": lambda path: Parquet(path, label="label"),
}


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real files of `SOURCES` beside each other, a torn one, and one that a folder's reader passes over."""
    folder = tmp_path_factory.mktemp("published")
    for name in SOURCES:
        (folder / name).parent.mkdir(exist_ok=True)
        if name != "dev.parquet":
            (folder / name).write_bytes((shared / name).read_bytes())
    lines = (shared / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()
    texts, labels = zip(*(line.split("\t") for line in lines), strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "dev.parquet", row_group_size=300)
    whole = (folder / "commoncrawl/whirlwind.warc.gz").read_bytes()
    (folder / "torn.warc.gz").write_bytes(whole[:-3000])
    (folder / "few").mkdir()
    for name in ("b.txt", "a.txt", "note.md"):
        (folder / "few" / name).write_text(f"{name}\n")
    return folder


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves parts of files, as servers of data sets do, and Python's own does not."""

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        start, stop = int(asked[1]), min(int(asked[2]) + 1, path.stat().st_size)
        self.send_response(206)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[start:stop])

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    s3fs = pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem()
        system.mkdir("published")
        system.put(str(folder) + "/", "published/", recursive=True)
        yield "s3://published"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["web", "bucket"])
def far(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", SOURCES)
def test_same_records_as_from_the_disk(folder: Path, far: str, name: str) -> None:
    near, there = SOURCES[name](f"{folder}/{name}"), SOURCES[name](f"{far}/{name}")
    expected = [{**record, "where": record["where"].replace(str(folder), far)} for record in near]
    assert len(expected) > 0
    assert list(there) == expected
    assert there.fingerprint() == SOURCES[name](f"{far}/{name}").fingerprint() != near.fingerprint()


def texts(*paths: str) -> list[str]:
    return [record["text"] for record in TextFiles(list(paths))]


def test_globs_and_folders(far: str) -> None:
    assert texts(f"{far}/few/*.txt") == ["a.txt", "b.txt"]
    assert texts(f"{far}/few/[b-z].txt", f"{far}/few/note.md") == ["b.txt", "note.md"]
    with pytest.raises(UserError, match=rf"^paths: {re.escape(far)}/few/\*\.csv: matches no file"):
        texts(f"{far}/few/*.csv")


def test_folders_and_parts_in_a_bucket(bucket: str) -> None:
    assert texts(f"{bucket}/few") == texts(f"{bucket}/**/*.txt") == ["a.txt", "b.txt"]
    parts = TextFiles(f"{bucket}/few").parts()
    assert [[record["text"] for record in part] for part in parts] == [["a.txt"], ["b.txt"]]


def test_torn_and_missing_files(far: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(far)}/torn\.warc\.gz:[0-9]+: .*Compressed file ended"):
        list(CommonCrawl(f"{far}/torn.warc.gz", max_bad=9))
    for use in (list, TextFiles.fingerprint):
        with pytest.raises(UserError, match=rf"^paths: {re.escape(far)}/none\.txt: no such file"):
            use(TextFiles(f"{far}/none.txt"))


def test_server_that_is_not_there() -> None:
    for name in ("a.txt", "*.txt", "a.txt.gz"):
        with pytest.raises(UserError, match=r"^paths: http://127\.0\.0\.1:9/.* cannot be reached: .*connect"):
            texts(f"http://127.0.0.1:9/{name}")
    with pytest.raises(UserError, match=r"^paths: nope://a: .*'nope'"):
        texts("nope://a")
