"""The size of a trainer by torchrun's environment."""

import pytest

from research.launch import take_size


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"devices": 4, "num_nodes": 3}),
        ({"devices": "auto", "num_nodes": 1}, {"devices": 4, "num_nodes": 3}),
        ({"devices": 2}, {"devices": 2}),
        ({"devices": "auto", "num_nodes": 2}, {"devices": "auto", "num_nodes": 2}),
    ],
)
def test_torchrun_says_what_the_config_leaves_open(monkeypatch, given, expected):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "3")
    take_size(given)
    assert given == expected


def test_without_torchrun_nothing_is_said(monkeypatch):
    monkeypatch.delenv("GROUP_WORLD_SIZE", raising=False)
    given = {"devices": "auto"}
    take_size(given)
    assert given == {"devices": "auto"}
