"""A stream that is slow for a while: training waits for it, says so, and goes on."""

import logging
import re
import threading
import time
from typing import Any

import pytest
from torch.utils.data import Dataset

from research.data import waiting
from research.data.loader import ResumableLoader, WindowLoader


class Slow(Dataset[int]):
    def __init__(self, name: str, at: int | None) -> None:
        self.name, self.at = name, at

    def __getitem__(self, position: int) -> int:
        if position == self.at:
            time.sleep(2.0)
        return position


@pytest.mark.parametrize("workers", [0, 1])
def test_the_slow_stream_is_named(workers: int, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {*threading.enumerate()}
    monkeypatch.setattr(waiting, "PATIENCE", 0.4)
    parts = {name: Slow(name, at) for name, at in (("quick", None), ("slow", 3))}
    loader = WindowLoader(
        {n: ResumableLoader(p, batch_size=None, sampler=range(6), num_workers=workers) for n, p in parts.items()},
        lambda batches: None,
        lambda: 1,
    )
    with caplog.at_level(logging.WARNING):
        assert [batch for batch, *_ in loader] == [{"quick": i, "slow": i} for i in range(6)]
        time.sleep(0.2)
    loader.reset()
    assert 1.9 < loader.waited < 9
    told = [message for message in caplog.messages if "streams.slow" in message]
    pattern = r"data.streams.slow: training has waited \d+ s for its next batch; is the source slow or out of reach\?"
    assert len(told) in (3, 4) and all(re.fullmatch(pattern, line) for line in told[:-1])  # after 0.4, 0.8 and 1.6 s
    assert re.fullmatch(r"data.streams.slow: training goes on after 2 s without a batch", told[-1])
    assert not {t for t in threading.enumerate() if t.name == "waiting-for-data"} - before


def test_a_quick_stream_says_nothing(caplog: Any) -> None:
    loaders = {"a": ResumableLoader(Slow("a", None), batch_size=None, sampler=range(9))}
    loader = WindowLoader(loaders, lambda batches: None, lambda: 1)
    assert len([batch for batch, *_ in loader]) == 9
    loader.reset()
    assert caplog.messages == []
