"""Text streamed without a cache: all of it once a pass for any ranks and workers, and the same batches on resume."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from research.data import CorpusDataModule, Joint, StreamedCorpusDataModule
from research.data.batch import Batch
from research.data.masking import Masked
from research.data.sampling import HOLE, Turns
from research.data.sources import TextFiles
from research.data.stream import Stream
from research.data.text_stream import cut, shuffled
from research.errors import UserError
from research.models import Student
from research.step import Clean


@pytest.fixture(scope="module")
def student(tiny: Any) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


@pytest.fixture(scope="module")
def wiki(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> TextFiles:
    """The real text in three files, long paragraphs and short ones."""
    folder = tmp_path_factory.mktemp("wiki")
    lines = (slices / "wikitext.txt").read_text(encoding="utf-8")[:30_000].splitlines(keepends=True)
    for i in range(3):
        (folder / f"{i}.txt").write_text("".join(lines[i * len(lines) // 3 : (i + 1) * len(lines) // 3]), "utf-8")
    return TextFiles(str(folder), unit="line")


def streamed(source: Any, **given: Any) -> StreamedCorpusDataModule:
    return StreamedCorpusDataModule(source, **{"validation": 0.0, "batch_size": 8, "buffer": 50} | given)


def tokens(batch: Batch) -> list[tuple[int, ...]]:
    """Each row without special tokens and padding."""
    shown = batch.views[Clean()]
    return [tuple(row[mask][1:-1].tolist()) for row, mask in zip(shown.ids, shown.mask, strict=True)]


def same(left: Batch, right: Batch) -> bool:
    pairs = [(left.views[view], right.views[view]) for view in left.views]
    return all(torch.equal(a.ids, b.ids) and (a.labels is None or torch.equal(a.labels, b.labels)) for a, b in pairs)


def batches_of_a_pass(part: Stream) -> int:
    """By a count of the pieces, as the cut makes them."""
    texts: Any = part.texts  # type: ignore[attr-defined]
    records = [record for record in texts.source if texts.kept([record])[0]]
    return -(-sum(len(cut(record["text"], texts.size)) for record in records) // texts.batch_size)


@pytest.mark.parametrize("kind", ["cached", "streamed"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_and_workers_share_a_pass(kind: str, ranks: int, student: Student, wiki: TextFiles, connect: Any) -> None:
    """Together they see all of the text once in a pass, and the same batches for any number of workers."""
    if kind == "cached":
        part = connect(CorpusDataModule(wiki, validation=0.0, batch_size=8), student).stream("train")
        size = len(part)
    else:
        part = connect(streamed(wiki), student).stream("train")
        size = batches_of_a_pass(part)
    whole = sorted(
        token for record in wiki for token in student.tokenizer(record["text"], add_special_tokens=False)["input_ids"]
    )
    first: list[Any] = []
    for workers in (0, 1, 3):
        by_rank = []
        for rank in range(ranks):
            part.deal(rank, ranks)
            turns = Turns(Joint(), "stream", size, lambda: 0)
            loader = iter(DataLoader(part, batch_size=None, sampler=turns, num_workers=workers))
            by_rank.append([tokens(next(loader)) for _ in range(size)])
        rows = [row for batches in by_rank for batch in batches for row in batch]
        assert sorted(token for row in rows for token in row) == whole, workers
        first = first or by_rank
        assert by_rank == first, workers


def test_a_run_that_goes_on_has_the_same_batches(student: Student, wiki: TextFiles, connect: Any) -> None:
    """From any position, in any of three passes; and backwards, as when a loader starts an epoch anew."""
    module = connect(streamed(wiki), student, [Clean(), Masked()])
    part = module.stream("train")
    size = batches_of_a_pass(part)
    expected = [part[p] for p in range(3 * size)]
    for start in (0, 1, size - 1, size, 2 * size + 5):
        fresh = pickle.loads(pickle.dumps(part if start % 2 else module.stream("train")))
        for p in (start, start + 1, start + 3, max(start - 2, 0), 3 * size - 1, 2):
            if p < 3 * size:
                assert same(fresh[p], expected[p]), (start, p)
    assert part[HOLE] is None
    passes = [[tokens(batch) for batch in expected[k * size : (k + 1) * size]] for k in range(3)]
    rows = [sorted(row for batch in one for row in batch) for one in passes]
    assert rows[0] == rows[1] == rows[2] and passes[0] != passes[1] != passes[2]
    other = connect(streamed(wiki), student, [Clean()], seed=1).stream("train")
    assert tokens(other[0]) != passes[0][0]


def test_what_is_passed_over_is_not_tokenised(student: Student, wiki: TextFiles, connect: Any) -> None:
    class Counting:
        """The tokenizer, and how many texts it was given."""

        def __init__(self) -> None:
            self.backend_tokenizer, self.real, self.texts = self, student.tokenizer.backend_tokenizer, 0

        def no_truncation(self) -> None: ...
        def no_padding(self) -> None: ...
        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> Any:
            self.texts += len(texts)
            return self.real.encode_batch_fast(texts, add_special_tokens=add_special_tokens)

    part = connect(streamed(wiki), student).stream("train")
    part.tokenizer = Counting()
    assert part[30] is not None and part.tokenizer.texts == 8


def test_rows_fit_the_student_and_little_of_them_is_padding(student: Student, wiki: TextFiles, connect: Any) -> None:
    part = connect(streamed(wiki, buffer=400), student).stream("train")
    masks = [part[p].views[Clean()].mask for p in range(batches_of_a_pass(part))]
    assert max(mask.shape[1] for mask in masks) <= 64
    real, room = sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    assert real / room > 0.8
    assert sum(len(mask) for mask in masks) < 1.1 * sum(min(len(mask), 8) for mask in masks), "few pieces overflow"


def test_held_out_texts_are_those_of_the_cached_corpus(student: Student, wiki: TextFiles, connect: Any) -> None:
    """The first of them at most; and none of the share is trained on, evaluated or not."""
    shares = {"validation": 0.2, "test": 0.1, "split_seed": 3}
    cached = connect(CorpusDataModule(wiki, **shares), student)
    module = connect(streamed(wiki, held_out=5, **shares), student)
    for split in ("validation", "test"):
        assert module.hashes(split).tolist() == cached.hashes(split)[:5].tolist() and len(cached.hashes(split)) > 5
        assert len(module.stream(split)) > 0
    assert "train" not in module.rows
    part = module.stream("train")
    got = sorted(t for p in range(batches_of_a_pass(part)) for row in tokens(part[p]) for t in row)
    windows, _ = cached.examples("train")
    assert got == sorted(t for i in range(len(windows.lengths)) for t in windows[i].first.tolist())
    assert set(module.fingerprint()) == {"train", "validation", "test", "tokenizer"}


def test_what_another_stream_holds_out_is_not_trained_on(student: Student, wiki: TextFiles, connect: Any) -> None:
    texts = [record["text"] for record in wiki]
    module = connect(streamed(wiki, test=0.2), student, setup=False)
    module.prepare_data()
    module.split()
    other = connect(CorpusDataModule(wiki, validation=0.5, split_seed=7), student, setup=False)
    other.split()
    module.drop({"validation": other.hashes("validation"), "test": module.hashes("test")})
    kept = module.stream("train").texts.kept([{"text": text, "where": ""} for text in texts])
    held_out = np.isin(other.rows["train"][0]["hash"].to_numpy(), other.hashes("validation"))
    assert not (kept & held_out).any() and 0.3 < kept.mean() < 0.5


def test_nothing_to_train_on(student: Student, wiki: TextFiles, connect: Any) -> None:
    module = connect(streamed(wiki, test=wiki), student)
    with pytest.raises(UserError, match=r"data\.streams\.stream\.init_args\.source: no training text is left"):
        module.stream("train")
    for name in ("held_out", "buffer"):
        with pytest.raises(UserError, match=rf"{name} is 0"):
            streamed(wiki, **{name: 0})


@pytest.mark.parametrize("size", [10, 64, 1000])
@pytest.mark.parametrize("name", ["wikitext.txt", "banking77/train.csv"])
def test_cut_loses_nothing(name: str, size: int, slices: Path) -> None:
    text = (slices / name).read_text(encoding="utf-8")[:20_000]
    pieces = cut(text, size)
    assert "".join(pieces) == text.strip() and len(pieces) == -(-len(text.strip()) // size)
    assert max(map(len, pieces)) <= size * 1.2 and min(map(len, pieces)) >= min(size * 0.7, len(text) / 2)


def test_cut_by_hand() -> None:
    assert cut("", 5) == cut(" \n", 5) == []
    assert cut("the cat sat on a mat by one door", 20) == ["the cat sat on ", "a mat by one door"]
    assert cut("夜里所有的猫都是灰色的", 6) == ["夜里所有的", "猫都是灰色的"]


def test_shuffled_mixes_within_the_buffer() -> None:
    out = list(shuffled(iter(range(1000)), 100, np.random.default_rng(0)))
    assert sorted(out) == list(range(1000)) and out != sorted(out)
    assert all(item <= place + 100 for place, item in enumerate(out)), "nothing comes before it can be in the buffer"
    assert np.corrcoef(out[:100], range(100))[0, 1] < 0.6
    assert sorted(shuffled(iter(range(7)), 100, np.random.default_rng(0))) == list(range(7))
