"""Batches whose gradients are added up are read together, and no further."""

import multiprocessing
import os
import time
from typing import Any

import pytest

from research.data.loader import WindowLoader, told_of_deaths, window


@pytest.mark.parametrize(
    "place, batches, accumulated, places",
    [(0, 9, 1, [0]), (4, 9, 4, [4, 5, 6, 7]), (6, 9, 4, [4, 5, 6, 7]), (8, 9, 4, [8]), (0, 2, 4, [0, 1])],
)
def test_window(place: int, batches: int, accumulated: int, places: list[int]) -> None:
    assert list(window(place, batches, accumulated)) == places


def test_batches_of_a_gradient_are_shown_together_before_the_first_is_given() -> None:
    shown: list[list[Any]] = []
    given: list[Any] = []
    loader = WindowLoader(
        {"s": list(range(7))}, lambda batches: shown.append(list(batches)), lambda: min(3, 7 - len(given)) or 1
    )
    for batch, place, _ in loader:
        given.append(batch)
        assert place == len(given) - 1
        assert sum(map(len, shown)) == min(-(-len(given) // 3) * 3, 7)
    assert given == [{"s": i} for i in range(7)] and [len(each) for each in shown] == [3, 3, 1]
    given.clear()
    next(iter(loader))
    assert len(shown) == 4, "a new epoch begins anew"


def test_a_worker_whose_files_close_before_it_is_gone_has_died() -> None:
    def end_slowly() -> None:
        os.closerange(3, 256)  # as the system does before it tells the parent
        time.sleep(0.5)
        os._exit(1)

    class Batches:
        _workers = (multiprocessing.get_context("fork").Process(target=end_slowly),)

        def __next__(self) -> None:
            raise ConnectionResetError

    worker = Batches._workers[0]
    worker.start()
    with pytest.raises(RuntimeError, match=rf"DataLoader worker \(pid {worker.pid}\)"):
        next(told_of_deaths(Batches()))
    worker.join()


def test_an_error_of_a_connection_beside_living_workers_stays_one() -> None:
    class Batches:
        _workers = ()

        def __next__(self) -> None:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        next(told_of_deaths(Batches()))
