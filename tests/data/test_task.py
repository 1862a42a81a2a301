"""Tasks: labels of every problem, few shots, what is cut and what is refused with its place."""

import csv
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from research.data import TaskDataModule
from research.data.batch import IGNORE
from research.data.masking import Conditional
from research.data.sources import CSV
from research.errors import UserError
from research.models import Student
from research.step import Clean


@pytest.fixture
def student(tiny: Any) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


@pytest.fixture
def banking(slices: Path) -> dict[str, CSV]:
    return {
        split: CSV(str(slices / "banking77" / f"{split}.csv"), "text", label="category") for split in ("train", "test")
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def labelled(classes: int, each: int) -> list[dict[str, str]]:
    return [{"text": f"text {k} of {c}", "label": f"class {c}"} for k in range(each) for c in range(classes)]


def test_labels_of_batches_are_those_of_the_file(
    student: Student, banking: dict[str, CSV], slices: Path, connect: Any
) -> None:
    module = connect(TaskDataModule(banking["train"], validation=0.2, test=banking["test"], batch_size=4), student)
    names = module.info.labels
    assert names == tuple(sorted({row["category"] for row in rows(slices / "banking77" / "train.csv")}))
    for split, file in ("train", "train.csv"), ("validation", "train.csv"), ("test", "test.csv"):
        known = {row["text"].strip().lower(): row["category"] for row in rows(slices / "banking77" / file)}
        expected = {
            tuple(student.tokenizer(text, add_special_tokens=False)["input_ids"]): label
            for text, label in known.items()
        }
        part, seen = module.stream(split), 0
        for p in range(len(part)):
            batch = part[p]
            view = batch.views[Clean()]
            for ids, mask, label in zip(view.ids, view.mask, batch.labels, strict=True):
                assert names[label] == expected[tuple(ids[mask][1:-1].tolist())]
                seen += 1
        assert seen == len(module.rows[split][1]) > 0
    assert module.where("test", 0).startswith(str(slices / "banking77" / "test.csv:"))


def test_label_that_training_has_not(student: Student, connect: Any, json_lines: Any) -> None:
    train = json_lines(labelled(2, 5))
    test = json_lines([*labelled(2, 2), {"text": "x", "label": "odd"}], "test.jsonl")
    with pytest.raises(
        UserError, match=r"test\.jsonl:5: label 'odd' was not seen in training; known: class 0, class 1"
    ):
        connect(TaskDataModule(train, validation=0.0, test=test), student)


def test_record_without_a_label(student: Student, connect: Any, counted: Any) -> None:
    with pytest.raises(UserError, match="memory:11: the record has no label"):
        connect(TaskDataModule(counted([*labelled(2, 5), {"text": "x"}]), validation=0.0), student)


def test_one_label_alone(student: Student, connect: Any, counted: Any) -> None:
    with pytest.raises(UserError, match=r"streams\.stream.*one label alone: class 0"):
        connect(TaskDataModule(counted(labelled(1, 5)), validation=0.0), student)


@pytest.mark.parametrize("problem, label", [("classify", ["a", "b"]), ("multilabel", "a")])
def test_label_of_another_problem(problem: Any, label: Any, student: Student, connect: Any, counted: Any) -> None:
    source = counted([{"text": "x", "label": label}])
    with pytest.raises(UserError, match=rf"memory:1: label .* does not suit problem '{problem}'"):
        connect(TaskDataModule(source, problem, validation=0.0), student)


def test_numbers_as_classes(student: Student, connect: Any, json_lines: Any) -> None:
    source = json_lines([{"text": f"text {i}", "label": i % 3} for i in range(9)])
    assert connect(TaskDataModule(source, validation=0.0), student).info.labels == ("0", "1", "2")


def test_few_shots_whatever_the_order_of_the_file(student: Student, connect: Any, counted: Any) -> None:
    records = labelled(3, 40)

    def chosen(order: list[dict[str, str]], seed: int = 0, shots: int = 5) -> set[str]:
        source = counted(order)
        module = connect(TaskDataModule(source, shots=shots, shots_seed=seed, validation=0.2), student)
        table, kept = module.rows["train"]
        texts = {f"memory:{i}": record["text"] for i, record in enumerate(order, 1)}
        labels = [json.loads(label) for label in np.array(table["label"].to_pylist())[kept]]
        assert Counter(labels) == {f"class {c}": shots for c in range(3)}
        assert len(module.rows["validation"][1]) > 3, "held out is held out whole"
        assert len(module.examples("train")[0].lengths) == 3 * shots
        return {texts[where] for where in np.array(table["where"].to_pylist())[kept]}

    first = chosen(records)
    assert first == chosen(records[::-1])
    assert len(first & chosen(records, seed=1)) < 10
    assert first < chosen(records, shots=8), "more shots keep those that fewer have"


def test_examples_beside_the_shots(student: Student, connect: Any, counted: Any, json_lines: Any) -> None:
    """All but the one that is held out are trained on; the shots are those that there would be without them."""
    records = [{"text": f"text {i} of it", "label": f"class {i % 3}"} for i in range(60)]
    words = [{"text": f"it is {n}", "label": f"class {n}"} for n in (0, 1, 1, 2)] + [records[0]]
    source = counted(records)

    def places(**given: Any) -> set[str]:
        module = connect(
            TaskDataModule(source, shots=3, validation=0.0, test=json_lines([records[0]]), **given), student
        )
        assert len(module.fingerprint()) == 3 + len(given), "train, test, the tokenizer, and what is beside"
        labels = module.examples("train")[1]
        found = [module.where("train", i) for i in range(len(labels))]
        for where, label in zip(found, labels.tolist(), strict=True):
            from_file = words if "words" in where else records
            number = int(where.rsplit(":", 1)[1]) - 1
            assert from_file[number]["label"] == module.labels[label]
        return set(found)

    plain = places()
    both = places(beside=json_lines(words, "words.jsonl"))
    beside = {where for where in both if "words" in where}
    assert len(plain) == 9 and both - beside == plain
    assert len(beside) == 4, "the fifth is a test text"


def test_shots_that_cannot_be(student: Student, connect: Any, counted: Any) -> None:
    source = counted([*labelled(2, 5), {"text": "rare", "label": "rare"}])
    with pytest.raises(UserError, match=r"init_args\.shots is 2; label 'rare' has 1 training texts"):
        connect(TaskDataModule(source, shots=2, validation=0.0), student)
    with pytest.raises(UserError, match="shots is 0"):
        TaskDataModule(source, shots=0)
    with pytest.raises(UserError, match="needs problem 'classify'"):
        TaskDataModule(source, "regress", shots=2)


def test_text_longer_than_the_student_takes(student: Student, connect: Any, json_lines: Any) -> None:
    source = json_lines([*labelled(2, 3), {"text": "the river " * 50, "label": "class 0"}])
    module = connect(TaskDataModule(source, validation=0.0), student)
    told = r"rows\.jsonl:7: the text has \d+ tokens, the student takes 62; set data\.streams\.stream.*\.max_length"
    with pytest.raises(UserError, match=told):
        module.examples("train")


def test_max_length_cuts_on_the_right(
    student: Student, connect: Any, counted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    long = "one river and another river " * 20
    source = counted([*labelled(2, 3), {"text": long, "label": "class 0"}])
    module = connect(TaskDataModule(source, validation=0.0, max_length=32), student)
    with caplog.at_level(logging.INFO, "research"):
        examples, _ = module.examples("train")
    assert "stream: 1 of 7 train texts are cut to 32 tokens" in caplog.messages
    whole = student.tokenizer(long, add_special_tokens=False)["input_ids"]
    assert examples[6].first.tolist() == whole[:30] and examples.lengths[6] == 30
    part = module.stream("train")
    assert max(part[p].views[Clean()].ids.shape[1] for p in range(len(part))) == 32


def test_max_length_above_the_students(student: Student, connect: Any, counted: Any) -> None:
    with pytest.raises(UserError, match=r"init_args\.max_length is 65; the student takes 64 tokens"):
        connect(TaskDataModule(counted(labelled(2, 3)), max_length=65), student)


@pytest.mark.parametrize(
    "first, second, kept",
    [(40, 40, (15, 14)), (5, 40, (5, 24)), (40, 5, (24, 5)), (10, 10, (10, 10)), (29, 0, (29, 0)), (15, 14, (15, 14))],
)
def test_pairs_share_the_room(
    first: int, second: int, kept: tuple[int, int], student: Student, connect: Any, counted: Any
) -> None:
    """32 tokens hold 29 of the texts and three special ones; the shorter text is kept whole if it can be."""
    words = student.tokenizer.tokenize("the")
    assert len(words) == 1
    record = {"text": " ".join(["the"] * first), "text_pair": " ".join(["the"] * second)}
    source = counted([record | {"label": "a"}, {"text": "the", "text_pair": "the", "label": "b"}])
    module = connect(TaskDataModule(source, validation=0.0, max_length=32), student)
    examples, _ = module.examples("train")
    example = examples[0]
    assert (len(example.first), len(example.second)) == kept
    assert examples.lengths[0] == sum(kept)
    ids = student.family.frame(example, student.vocabulary).ids
    assert len(ids) == sum(kept) + 3 <= 32


def test_regression_is_standardised_by_training(shared: Path, student: Student, connect: Any) -> None:
    """On STS-B's scores of pairs, against scikit-learn."""
    path = shared / "stsb" / "sts-dev.csv"
    source = CSV(str(path), 5, 6, label=4, delimiter="\t", header=False, quoting=False)
    module = connect(TaskDataModule(source, "regress", validation=0.2, max_length=64), student)
    scores = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            scores[f"{path}:{number}"] = float(line.split("\t")[4])
    sizes = {split: len(kept) for split, (_, kept) in module.rows.items() if len(kept)}
    assert set(sizes) == {"train", "validation"}
    raw = {s: np.array([scores[module.where(s, i)] for i in range(n)]) for s, n in sizes.items()}
    scaler = StandardScaler().fit(raw["train"][:, None])
    for split, values in raw.items():
        _, labels = module.examples(split)
        np.testing.assert_allclose(labels, scaler.transform(values[:, None])[:, 0], atol=1e-5)
    assert module.info.problem == "regress" and module.info.labels == ()
    np.testing.assert_allclose(module.info.scale, (scaler.mean_[0], scaler.scale_[0]))
    batch = module.stream("train")[0]
    assert batch.labels.dtype == torch.float32 and batch.views[Clean()].types.any()


def test_regression_on_a_constant(student: Student, connect: Any, counted: Any) -> None:
    source = counted([{"text": f"text {i}", "label": 2.0} for i in range(5)])
    _, labels = connect(TaskDataModule(source, "regress", validation=0.0), student).examples("train")
    assert labels.tolist() == [0.0] * 5


@pytest.mark.parametrize("label", ["high", "nan", "inf", ["1"]])
def test_label_that_is_no_number(label: Any, student: Student, connect: Any, counted: Any) -> None:
    source = counted([{"text": "a", "label": 1.0}, {"text": "b", "label": label}])
    with pytest.raises(UserError, match=r"memory:2: label .* is no finite number"):
        connect(TaskDataModule(source, "regress", validation=0.0), student)


def test_several_labels(student: Student, connect: Any, json_lines: Any) -> None:
    """Against scikit-learn's binariser; an empty list is an example of no class."""
    sets = [["b", "a"], ["c"], [], ["a"], ["a", "b", "c"], ["b"]]
    source = json_lines([{"text": f"text {i}", "label": labels} for i, labels in enumerate(sets)])
    module = connect(TaskDataModule(source, "multilabel", validation=0.0), student)
    _, labels = module.examples("train")
    assert module.info.labels == ("a", "b", "c") and labels.dtype == torch.float32
    np.testing.assert_array_equal(labels, MultiLabelBinarizer().fit_transform(sets))


@pytest.mark.parametrize("name", ["t5", "gpt2"])
def test_generation_reads_source_and_target(name: str, tiny: Any, slices: Path, connect: Any) -> None:
    student = tiny(name)
    source = CSV(str(slices / "e2e.csv"), "mr", target="ref")
    module = TaskDataModule(source, "generate", validation=0.2, batch_size=4, max_length=128, max_target_length=40)
    connect(module, student, [Conditional()])
    assert module.info.problem == "generate" and module.info.labels == ()
    table, kept = module.rows["train"]
    file, end = rows(slices / "e2e.csv"), student.vocabulary.end
    part = module.stream("train")
    assert part.labels is None
    for p in range(len(part)):
        batch = part[p]
        tokens = batch.views[Conditional()]
        assert tokens.ids.shape[1] <= 128
        for i, ids, mask, labels in zip(batch.index, tokens.ids, tokens.mask, tokens.labels, strict=True):
            record = file[int(table["where"][int(kept[i])].as_py().rsplit(":", 1)[1]) - 2]
            wanted = [student.tokenizer(record[k], add_special_tokens=False)["input_ids"] for k in ("mr", "ref")]
            wanted[1] = [*wanted[1][:40], end]
            read = ids[mask].tolist()
            assert labels[labels != IGNORE].tolist() == wanted[1]
            if name == "t5":
                assert read == [*wanted[0], end]
            else:
                room = 128 - 1 - 40
                assert read == [*wanted[0][:room], end, *wanted[1][:-1]]


def test_a_decoder_leaves_room_for_the_target(tiny: Any, connect: Any, counted: Any) -> None:
    source = counted([{"text": "the river " * 100, "target": "a town " * 100}, {"text": "a", "target": "b"}])
    module = TaskDataModule(source, "generate", validation=0.0, max_length=64, max_target_length=20)
    connect(module, tiny("gpt2"), [Conditional()])
    tokens = module.stream("train")[0].views[Conditional()]
    assert tokens.ids.shape[1] == 64
    full = TaskDataModule(source, "generate", validation=0.0, max_length=64, max_target_length=64)
    connect(full, tiny("gpt2"), [Conditional()])
    with pytest.raises(UserError, match=r"init_args\.max_length is 64: it leaves no room"):
        full.examples("train")


def test_generation_without_a_target(tiny: Any, connect: Any, counted: Any) -> None:
    student, good = tiny("t5"), {"text": "a", "target": "b"}
    with pytest.raises(UserError, match="memory:2: the record has no target"):
        connect(TaskDataModule(counted([good, {"text": "c"}]), "generate", validation=0.0), student)
    module = TaskDataModule(counted([good]), "generate", validation=0.0, test=counted([{"text": "d"}]))
    with pytest.raises(UserError, match="memory:1: the record has no target"):
        connect(module, student)
    with pytest.raises(UserError, match="max_target_length is 0"):
        TaskDataModule(counted([good]), "generate", max_target_length=0)


def test_a_second_set_up_reads_no_text_again(student: Student, connect: Any, counted: Any) -> None:
    for _ in range(2):
        source, test = counted(labelled(2, 20)), counted(labelled(2, 3))
        module = connect(TaskDataModule(source, test=test), student)
        module.stream("train"), module.stream("validation"), module.stream("test")
    assert source.reads == test.reads == 0


def test_gold_is_what_the_record_says(student: Student, tiny: Any, connect: Any, counted: Any) -> None:
    for problem, labels, kept in (
        ("classify", [3, 7, 3, 7], ["3", "7", "3", "7"]),
        ("multilabel", [["x"], [], ["y", "x"], ["y"]], [["x"], [], ["y", "x"], ["y"]]),
        ("regress", [3.8, 0, 2.4, 1], [3.8, 0.0, 2.4, 1.0]),
    ):
        records = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
        module = connect(TaskDataModule(counted(records), problem, validation=0.0), student)
        assert [module.gold("train", i) for i in range(4)] == kept
    texts = ["A thing, said twice.", "Not  so: it's one."]
    records = [{"text": f"text {i}", "target": text, "text_pair": text} for i, text in enumerate(texts)]
    module = connect(TaskDataModule(counted(records), "generate", validation=0.0), tiny("gpt2"))
    assert [module.gold("train", i) for i in range(2)] == texts
    module = connect(TaskDataModule(counted(records), "pair", validation=0.0), student)
    assert module.gold("train", 0) is None
