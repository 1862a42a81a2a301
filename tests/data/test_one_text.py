"""Pairs and triplets whose texts are read one by one."""

from typing import Any

import pytest

from research.data import TaskDataModule
from research.data.one_text import OneText
from research.errors import UserError
from research.models import Student

ROWS = [
    {
        "text": f"question {i} of all",
        "text_pair": f"the answer is {i}" + " indeed" * (40 if i == 3 else 0),
        "target": f"no {i}",
    }
    for i in range(12)
]
VIEWS = [OneText("text"), OneText("text_pair"), OneText("target")]


@pytest.fixture
def student(tiny: Any) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_each_text_is_framed_alone(name: str, tiny: Any, counted: Any, connect: Any) -> None:
    student = tiny(name)
    module = connect(TaskDataModule(counted(ROWS), "pair", batch_size=5, max_length=40), student, VIEWS)
    part, seen = module.stream("train"), 0
    for position in range(len(part)):
        batch = part[position]
        assert batch.labels is None and module.info.problem == "pair"
        for row, index in enumerate(batch.index):
            record = ROWS[int(module.where("train", int(index)).split(":")[1]) - 1]
            for view in VIEWS:
                tokens = batch.views[view]
                ids = student.tokenizer(record[view.field], add_special_tokens=False)["input_ids"]
                ids = ids[: 40 - student.family.overhead(pair=False)]  # each has the whole length
                got = [i for i in tokens.ids[row][tokens.mask[row]].tolist() if not student.vocabulary.special[i]]
                assert got == ids
                seen += 1
    assert seen == 3 * len(module.rows["train"][1]) > 0


def test_long_texts_are_refused_with_their_place(student: Student, counted: Any, connect: Any) -> None:
    module = connect(TaskDataModule(counted(ROWS), "pair", validation=0.0), student, VIEWS)
    with pytest.raises(UserError, match=r"memory:4: the text has \d+ tokens, the student takes 62; set data.streams"):
        module.stream("train")


def test_a_record_without_its_pair(student: Student, counted: Any, connect: Any) -> None:
    with pytest.raises(UserError, match="memory:13: the record has no text_pair, which problem 'pair' needs"):
        connect(TaskDataModule(counted([*ROWS, {"text": "alone"}]), "pair"), student, VIEWS)


def test_pairs_without_a_hard_negative(student: Student, counted: Any, connect: Any) -> None:
    rows = [{name: row[name] for name in ("text", "text_pair")} for row in ROWS]
    module = connect(TaskDataModule(counted(rows), "pair", max_length=40), student, VIEWS)
    with pytest.raises(UserError, match="the view OneText needs records with target; name its column in the source"):
        module.stream("train")[0]


def test_other_problems_are_refused(student: Student) -> None:
    with pytest.raises(UserError, match=r"model.objectives.nce: the view OneText needs a stream of problem pair"):
        OneText("text").check("model.objectives.nce", student, "classify")
    OneText("text").check("model.objectives.nce", student, "pair")
