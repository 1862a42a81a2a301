"""A sample is what a stream over the same source holds out."""

from pathlib import Path
from typing import Any

import pytest

from research.data import TaskDataModule
from research.data.sources import CSV, Sample
from research.errors import UserError
from research.models import Student


def test_streams_hold_it_out(tiny: Any, slices: Path, tmp_path: Path) -> None:
    from research.data.stream_module import Connection

    source = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
    student: Student = tiny("bert")
    for seed in (0, 5):
        task = TaskDataModule(source, validation=0.3, split_seed=seed, max_length=32)
        task.connect(Connection("stream", student, [], cache=tmp_path))
        task.prepare_data()
        task.setup()
        held_out = {task.where("validation", i) for i in range(len(task.rows["validation"][1]))}
        assert len(held_out) > 5
        sample = Sample(source, len(held_out), seed)
        assert {record["where"] for record in sample} == held_out
        assert sorted(sample.hashes()) == sorted(task.hashes("validation"))
        assert {record["where"] for record in Sample(source, 3, seed)} < held_out


def test_reads_its_source_once_and_in_order(counted: Any) -> None:
    source = counted(["one", "two", "three", "four"])
    sample = Sample(source, 3)
    first = [record["where"] for record in sample]
    assert first == [record["where"] for record in sample] == sorted(first) and len(first) == 3
    assert source.reads == 1
    assert [record["text"] for record in Sample(source, 9)] == ["one", "two", "three", "four"]


def test_settings_change_the_fingerprint(counted: Any) -> None:
    source = counted(["one", "two"])
    prints = {Sample(source, 1).fingerprint(), Sample(source, 2).fingerprint(), Sample(source, 1, 1).fingerprint()}
    assert len(prints) == 3
    with pytest.raises(UserError, match="count is 0; it must be at least 1"):
        Sample(source, 0)
