"""The order of a streamed corpus: all of the text once a pass, in lanes, and the same from any place in it."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from research.data.sources import TextFiles
from research.data.texts import Kept, Place, Pool, Texts, cut

NONE = Kept(0.0, 0, np.zeros(0, np.uint64))


@pytest.fixture(scope="module")
def wiki(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> TextFiles:
    """The real text in nine files of unequal size, long paragraphs and short ones."""
    folder = tmp_path_factory.mktemp("wiki")
    lines = (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    borders = [len(lines) * i**2 // 81 for i in range(10)]
    for i in range(9):
        (folder / f"{i}.txt").write_text("".join(lines[borders[i] : borders[i + 1]]) + f"{i}\n", "utf-8")
    return TextFiles(str(folder), unit="line")


def texts_of(source: TextFiles, lanes: int = 1, buffer: int = 100, kept: Kept = NONE, seed: int = 0) -> Texts:
    return Texts(source, kept, 150, buffer, 8, [seed], lanes)


def pools(texts: Texts, lane: int, passes: int, start: Place | None = None) -> list[Pool]:
    """Those of the first passes."""
    found = list[Pool]()
    for pool in texts.pools(lane, start or Place()):
        if pool.place.which == passes:
            return found
        found.append(pool)
    raise AssertionError


def content(found: list[Pool], which: int = 0) -> Counter[str]:
    return Counter(
        piece.text for pool in found if pool.place.which == which for batch in pool.batches for piece in batch
    )


@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 50])
def test_the_lanes_have_all_of_the_text_once_a_pass(wiki: TextFiles, lanes: int) -> None:
    texts = texts_of(wiki, lanes)
    assert texts.lanes == min(lanes, 8)
    assert sorted(row for lane in range(texts.lanes) for row in texts.rows(lane)) == list(range(8))
    by_lane = [pools(texts, lane, 2) for lane in range(texts.lanes)]
    expected = Counter(piece for record in wiki for piece in cut(record["text"], 150))
    for which in (0, 1):
        assert sum((content(found, which) for found in by_lane), Counter()) == expected
    for lane, found in enumerate(by_lane):
        numbers = [pool.place.batch + i for pool in found for i in range(len(pool.batches))]
        assert numbers == list(range(len(numbers)))
        rows = len(texts.rows(lane))
        assert all(1 <= len(batch) <= rows for pool in found for batch in pool.batches)
        assert sum(len(pool.batches) * rows - sum(map(len, pool.batches)) for pool in found) < 2 * rows, "a pass's end"


def test_one_file_belongs_to_one_lane(wiki: TextFiles) -> None:
    """Each file ends with a line that no other has."""
    texts = texts_of(wiki, 4)
    whose = [lane for i in range(9) for lane in range(4) if content(pools(texts, lane, 1))[str(i)]]
    assert sorted(Counter(whose).values()) == [2, 2, 2, 3]


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_pool_depends_on_its_place_alone(wiki: TextFiles, lanes: int) -> None:
    """Entered at any of them the reading goes on as if it had come from the beginning, in its second pass too."""
    texts = texts_of(wiki, lanes)
    for lane in range(lanes):
        found = pools(texts, lane, 2)
        assert len({pool.place for pool in found}) == len(found) > 6
        assert any(pool.place.piece for pool in found) and any(pool.place.part for pool in found)
        for i, pool in enumerate(found):
            assert list(islice(texts.pools(lane, pool.place), 3))[: len(found) - i] == found[i : i + 3]


def test_order_is_of_the_seed_and_of_the_pass(wiki: TextFiles) -> None:
    first = pools(texts_of(wiki), 0, 2)
    assert first == pools(texts_of(wiki), 0, 2) != pools(texts_of(wiki, seed=1), 0, 2)
    assert [pool.batches for pool in first if pool.place.which] != [p.batches for p in first if not p.place.which]


def test_pieces_mix_within_a_pool(tmp_path: Path) -> None:
    """A thousand texts of one length in pools of a hundred, which come in their order."""
    (tmp_path / "a.txt").write_text("".join(f"{i:04}\n" for i in range(1000)))
    found = pools(texts_of(TextFiles(str(tmp_path), unit="line"), buffer=104), 0, 1)
    order = [int(piece.text) for pool in found for batch in pool.batches for piece in batch]
    assert [n // 104 for n in order] == [i // 104 for i in range(1000)]
    assert all(abs(np.corrcoef(order[i : i + 104], range(104))[0, 1]) < 0.4 for i in range(0, 936, 104))


def test_lanes_give_a_batch_rows_of_one_length(wiki: TextFiles) -> None:
    """Padding to the longest row wastes little more than with one lane, and far less than without an order."""

    def waste(lanes: int) -> float:
        texts = texts_of(wiki, lanes, buffer=400)
        by_lane = [[b for pool in pools(texts, lane, 1) for b in pool.batches] for lane in range(lanes)]
        rows = [[len(piece.text) for part in batch for piece in part] for batch in zip(*by_lane, strict=False)]
        return 1 - sum(map(sum, rows)) / sum(max(row) * len(row) for row in rows)

    texts = [len(piece) for record in wiki for piece in cut(record["text"], 150)]
    rows = np.random.default_rng(0).permutation(texts)[: len(texts) // 8 * 8].reshape(-1, 8)
    unordered = 1 - rows.sum() / (8 * rows.max(axis=1).sum())
    assert waste(1) < waste(4) < 0.6 * unordered


def test_left_out_texts_come_nowhere(wiki: TextFiles) -> None:
    kept = Kept(0.3, 5, np.zeros(0, np.uint64))
    found = [pools(texts_of(wiki, 2, kept=kept), lane, 1) for lane in range(2)]
    records = list(wiki)
    chosen = kept(records)
    expected = Counter(p for r, keep in zip(records, chosen, strict=True) if keep for p in cut(r["text"], 150))
    assert sum(map(content, found), Counter()) == expected and 0.5 < chosen.mean() < 0.9


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
