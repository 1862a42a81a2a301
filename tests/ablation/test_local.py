"""How cores and memory are shared out; that runs then run is tested by the command."""

import os

import pytest

from research.ablation.running.local import SPARE, Workers

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("count", [1, CORES, CORES + 1])
def test_workers_share_the_cores(count):
    shares = Workers(count).free_cores
    assert len(shares) == count
    assert {core for share in shares for core in share} == os.sched_getaffinity(0)
    assert sum(map(len, shares)) == max(count, CORES)  # none twice, unless there are more workers than cores


def test_as_many_run_as_fit_into_memory():
    workers = Workers(3)
    assert workers.fitting() == 1  # until it is known what one needs
    for peak, fitting in ((0.01, 3), (0.49 * SPARE, 2), (0.6 * SPARE, 1), (7.0, 1)):
        workers.peak = peak * workers.memory
        assert workers.fitting() == fitting
