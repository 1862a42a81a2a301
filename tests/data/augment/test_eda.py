"""EDA's operations by hand and on real questions: what moves, how often, and what never does."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data import TaskDataModule
from research.data.augment import EDA
from research.data.augment.eda import deleted, inserted, replaced, swapped
from research.data.augment.words import movable, words_of
from research.data.batch import Example
from research.data.sources import CSV
from research.errors import UserError
from research.step import Clean

OFF = {"replace": 0.0, "insert": 0.0, "swap": 0.0, "delete": 0.0}
K = 3


def only(**rate: float) -> EDA:
    return EDA(**{**OFF, **rate})  # type: ignore[arg-type]


def table_of(vocabulary: Any) -> np.ndarray:
    """A table that is easy to recognise: the neighbours of an opening token are the next three ones."""
    opening = np.flatnonzero(~vocabulary.special & ~vocabulary.continues)
    table = np.full((vocabulary.size, K), -1, dtype=np.int32)
    table[opening] = np.stack([np.roll(opening, -i) for i in range(1, K + 1)], axis=1)
    return table


@pytest.fixture(scope="module")
def taught(vocabulary: Any) -> Any:
    """``taught(insert=0.2)``: such an EDA with the table, as :meth:`learn` leaves it."""
    table = table_of(vocabulary)

    def taught(**rate: float) -> EDA:
        view = only(**rate)
        object.__setattr__(view, "table", torch.from_numpy(table))
        return view

    return taught


def words_as_tuples(ids: np.ndarray, vocabulary: Any) -> list[tuple[int, ...]]:
    return [tuple(word.tolist()) for word in words_of(ids, vocabulary)]


def is_subsequence(part: list[Any], whole: list[Any]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_by_hand() -> None:
    words, rng = [np.array([i]) for i in range(10, 15)], np.random.default_rng(0)
    places = np.array([0, 2, 4])  # 11 and 13 stand for special tokens
    for _ in range(50):
        flat = [int(w[0]) for w in swapped(words, places, 1, rng)]
        assert flat in ([12, 11, 10, 13, 14], [14, 11, 12, 13, 10], [10, 11, 14, 13, 12])
        left = [int(w[0]) for w in deleted(words, places, 0.999, rng)]
        assert left in ([10, 11, 13], [11, 12, 13], [11, 13, 14])
    assert [int(w[0]) for w in words] == [10, 11, 12, 13, 14], "what is given stays as it is"
    table = np.arange(100).reshape(100, 1) + 50
    assert sorted(int(w[0]) for w in replaced(words, places, 9, table, rng)) == [11, 13, 60, 62, 64]
    grown = [int(w[0]) for w in inserted(words, np.array([2]), 2, table, rng)]
    assert [w for w in grown if w != 62] == [10, 11, 12, 13, 14] and grown.count(62) == 2
    alone = [np.array([7])]
    for changed in (swapped(alone, np.array([0]), 3, rng), deleted(alone, np.array([0]), 0.999, rng)):
        assert [w.tolist() for w in changed] == [[7]]


def test_swap_keeps_the_words(questions: list[np.ndarray], vocabulary: Any) -> None:
    rng, moved = np.random.default_rng(0), 0
    for ids in questions:
        before, after = words_as_tuples(ids, vocabulary), words_as_tuples(only(swap=0.1).change(ids, vocabulary, rng),
                                                                          vocabulary)  # fmt: skip
        assert Counter(before) == Counter(after)
        differ = sum(a != b for a, b in zip(before, after, strict=True))
        assert differ <= 2 * max(1, round(0.1 * len(before)))
        moved += differ > 0
    assert moved > 0.9 * len(questions)


def test_delete_at_its_rate(questions: list[np.ndarray], vocabulary: Any) -> None:
    rng, n, left = np.random.default_rng(0), 0, 0
    for ids in questions:
        before = words_as_tuples(ids, vocabulary)
        after = words_as_tuples(only(delete=0.2).change(ids, vocabulary, rng), vocabulary)
        assert after and is_subsequence(after, before)
        n, left = n + len(before), left + len(after)
    assert abs((n - left) - 0.2 * n) < 4 * np.sqrt(n * 0.2 * 0.8)


def test_replace_and_insert_take_neighbours(questions: list[np.ndarray], vocabulary: Any, taught: Any) -> None:
    rng, table = np.random.default_rng(0), table_of(vocabulary)
    for ids in questions:
        before = words_of(ids, vocabulary)
        known = [w for w in before if len(w) == 1 and table[w[0], 0] >= 0]
        count = min(max(1, round(0.2 * len(movable(before, vocabulary)))), len(known))
        after = words_of(taught(replace=0.2).change(ids, vocabulary, rng), vocabulary)
        changed = [(a, b) for a, b in zip(before, after, strict=True) if not np.array_equal(a, b)]
        assert len(changed) == count
        assert all(len(b) == 1 and b[0] in table[a[0]] for a, b in changed)
        grown = taught(insert=0.2).change(ids, vocabulary, rng)
        new = Counter(grown.tolist()) - Counter(ids.tolist())
        assert is_subsequence(ids.tolist(), grown.tolist())
        assert new.total() == max(1, round(0.2 * len(movable(before, vocabulary))))
        assert all(any(token in table[w[0]] for w in known) for token in new)


def test_operations_have_equal_chances(questions: list[np.ndarray], vocabulary: Any, taught: Any) -> None:
    """Told apart by what they leave of a text of distinct words."""
    ids = max(questions, key=lambda q: len(set(q.tolist())) if len(set(q.tolist())) == len(q) else 0)
    view, rng, seen = taught(replace=0.3, insert=0.3, swap=0.3, delete=0.3), np.random.default_rng(0), Counter()
    for _ in range(2000):
        after = view.change(ids, vocabulary, rng)
        longer, shorter = len(after) > len(ids), len(after) < len(ids)
        same = sorted(after.tolist()) == sorted(ids.tolist())
        seen["insert" if longer else "delete" if shorter else "swap" if same else "replace"] += 1
    assert all(abs(count - 500) < 4 * np.sqrt(2000 * 0.25 * 0.75) for count in seen.values()) and len(seen) == 4


def test_special_tokens_are_not_touched(
    questions: list[np.ndarray], encoder: Any, vocabulary: Any, taught: Any
) -> None:
    """Nor are those that stand within a text, as in packed documents."""
    view, rng = taught(replace=0.5, insert=0.5, swap=0.5, delete=0.5), np.random.default_rng(0)
    for ids in questions[:200]:
        text = np.concatenate([ids[:3], [vocabulary.end], ids[3:], [vocabulary.mask]])
        row = view.build(Example(text), encoder, vocabulary, rng)
        special = row.ids[vocabulary.special[row.ids]].tolist()
        assert special == [vocabulary.begin, vocabulary.end, vocabulary.mask, vocabulary.end]
        assert len(row.ids) > len(special), "a word stays"
        assert row.ids[0] == vocabulary.begin and row.ids[-1] == vocabulary.end
    for text in (np.zeros(0, dtype=np.int64), np.array([vocabulary.end])):
        assert np.array_equal(view.change(text, vocabulary, rng), text)


def test_pairs_stay_pairs(encoder: Any, vocabulary: Any, taught: Any) -> None:
    rng, first, second = np.random.default_rng(0), np.arange(2000, 2010), np.arange(3000, 3008)
    target = np.array([5, 6])
    row = taught(swap=0.5).build(Example(first, second, target), encoder, vocabulary, rng)
    assert row.second == 12
    assert sorted(row.ids[1:11]) == first.tolist() and sorted(row.ids[12:20]) == second.tolist()
    assert row.ids[1:11].tolist() != first.tolist() and row.ids[12:20].tolist() != second.tolist()
    assert target.tolist() == [5, 6] and row.labels is None


def test_random_numbers_come_from_the_generator(questions: list[np.ndarray], vocabulary: Any, taught: Any) -> None:
    view = taught(replace=0.2, insert=0.2, swap=0.2, delete=0.2)

    def drawn(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [view.change(ids, vocabulary, rng).tolist() for ids in questions[:50]]

    assert drawn(1) == drawn(1) != drawn(2)


def test_learns_from_the_student_and_respects_its_length(tiny: Any, texts: list[str]) -> None:
    student = tiny("bert", architecture={"max_position_embeddings": 40})
    v, rng = student.vocabulary, np.random.default_rng(0)
    view = EDA(replace=0.3, insert=0.9, swap=0.0, delete=0.0, neighbours=4)
    view.learn(student, torch.device("cpu"))
    assert view.table is not None and view.table.shape == (v.size, 4)
    unit = torch.nn.functional.normalize(student.model.get_input_embeddings().weight, dim=-1).detach().numpy()
    opening = np.flatnonzero(~v.special & ~v.continues)
    token = opening[17]
    expected = opening[np.argsort(-(unit[opening] @ unit[token]))]
    assert view.table[token].tolist() == expected[1:5].tolist()
    assert (view.table.numpy()[v.special | v.continues] == -1).all()
    ids = np.array(student.tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"])
    longest = 0
    for n in (5, 30, 38):
        for _ in range(50):
            longest = max(longest, len(view.build(Example(ids[:n]), student.family, v, rng).ids))
            pair = view.build(Example(ids[: n // 2], ids[: n - n // 2 - 1]), student.family, v, rng)
            assert len(pair.ids) <= 40
    assert longest == 40
    assert view == EDA(replace=0.3, insert=0.9, swap=0.0, delete=0.0, neighbours=4), "what it learns is no setting"


def test_without_weights_there_are_no_synonyms(questions: list[np.ndarray], vocabulary: Any) -> None:
    rng = np.random.default_rng(0)
    for view in (only(replace=0.5), only(insert=0.5)):
        assert all(np.array_equal(view.change(ids, vocabulary, rng), ids) for ids in questions[:20])


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_other_families(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student, view = tiny(name), EDA()
    view.learn(student, torch.device("cpu"))
    batch = batch_of(student, texts, [view, Clean()])
    assert student(batch.views[view]).hidden.isfinite().all()
    assert batch.views[view].ids.tolist() != batch.views[Clean()].ids.tolist()


def test_held_out_data_are_shown_as_they_are(tiny: Any, slices: Path, connect: Any) -> None:
    student, view = tiny("bert"), EDA()
    view.learn(student, torch.device("cpu"))
    source = CSV(str(slices / "banking77" / "train.csv"), text="text", label="category")
    stream = connect(TaskDataModule(source, validation=0.3), student, [Clean(), view])
    batch = stream.stream("validation")[0]
    assert torch.equal(batch.views[view].ids, batch.views[Clean()].ids)
    batch = stream.stream("train")[0]
    assert batch.views[view].ids.tolist() != batch.views[Clean()].ids.tolist()
    again = stream.stream("train")[0]
    assert torch.equal(batch.views[view].ids, again.views[view].ids)


@pytest.mark.parametrize("settings, message", [
    ({"replace": 1.0}, r"replace is 1.0; it must lie in \[0, 1\)"),
    ({"delete": -0.1}, r"delete is -0.1"),
    (OFF, "all are 0; give one of them a rate above 0"),
    ({"neighbours": 0}, "neighbours is 0; it must be at least 1"),
])  # fmt: skip
def test_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EDA(**settings)
