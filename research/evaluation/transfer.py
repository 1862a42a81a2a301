"""What tasks learnt one after another do to each other, from one matrix of figures, higher being better.

``R[i, j]`` (T, T) is the figure of task j after task i was learnt, both in the order of learning.
"""

from numpy import ndarray


def backward_transfer(R: ndarray) -> float:
    """Mean over the tasks but the last of ``R[T-1, j] - R[j, j]``; below 0 they were forgotten.

    Lopez-Paz & Ranzato 2017, arXiv:1706.08840.
    """
    return float((R[-1] - R.diagonal())[:-1].mean())


def forward_transfer(R: ndarray, untrained: ndarray) -> float:
    """Mean over the tasks but the first of ``R[j-1, j] - untrained[j]``: what a task gains from those before it.

    ``untrained`` (T,) are the figures before the first task. Lopez-Paz & Ranzato 2017, arXiv:1706.08840.
    """
    return float((R.diagonal(1) - untrained[1:]).mean())


def forgetting(R: ndarray) -> float:
    """Mean over the tasks but the last of ``max_{i < T-1} R[i, j] - R[T-1, j]``, what was best and is lost.

    Chaudhry et al. 2018, arXiv:1801.10112.
    """
    return float((R[:-1].max(0) - R[-1])[:-1].mean())
