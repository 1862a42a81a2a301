"""Which task is meant, and folders that are there whole or not at all."""

import pytest

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.export.command import chosen_task, whole


@pytest.fixture(scope="module")
def model(tiny):
    """Two tasks with heads, and one to write."""
    student = tiny("gpt2")
    streams = {"topics": StreamInfo("classify", ("a", "b")), "scores": StreamInfo("regress"),
               "replies": StreamInfo("generate")}  # fmt: skip
    student.add_head("topics", 2)
    student.add_head("scores", 1)
    return Model(student, streams)


def test_one_of_several_tasks_has_to_be_named(model):
    with pytest.raises(UserError, match="--task: give one of topics, scores, replies, none"):
        chosen_task(model, "transformers", None)
    with pytest.raises(UserError, match="no such task for onnx; give one of topics, scores, none"):
        chosen_task(model, "onnx", "replies")
    assert chosen_task(model, "transformers", "replies") == "replies"
    assert chosen_task(model, "onnx", "scores") == "scores"


def test_no_task_is_meant_where_embeddings_are_the_rule(model):
    assert chosen_task(model, "sentence-transformers", None) is None and chosen_task(model, "gguf", None) is None
    assert chosen_task(model, "transformers", "none") is None
    assert chosen_task(Model(model.student, {"texts": StreamInfo("unlabelled")}), "onnx", None) is None


def test_a_folder_that_cannot_be_filled_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "out") as work:
        (work / "file").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with whole(tmp_path / "out") as work:
        (work / "file").write_text("all")
    assert (tmp_path / "out" / "file").read_text() == "all" and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "a file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), whole(tmp_path / "a file" / "out"):
        pass
