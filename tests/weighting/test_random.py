"""Random weights against the moments of their distributions."""

import pytest
import torch

from research.weighting import Random

NAMES = ["a", "b", "c", "d"]


def drawn(distribution: str, count: int = 2000) -> torch.Tensor:
    weighting = Random(distribution=distribution)  # type: ignore[arg-type]
    weighting.build(NAMES, [], [])
    torch.manual_seed(0)
    losses = {name: torch.tensor(1.0) for name in NAMES}
    return torch.stack([torch.stack(list(weighting(losses, 0.0)[1].values())) for _ in range(count)])


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_sum_mean_and_spread(distribution: str) -> None:
    weights = drawn(distribution)
    torch.testing.assert_close(weights.sum(1), torch.full((2000,), 4.0))
    torch.testing.assert_close(weights.mean(0), torch.ones(4), atol=0.08, rtol=0)
    if distribution == "dirichlet":  # variance of 4 x Dirichlet(1, 1, 1, 1): (k - 1) / (k + 1)
        torch.testing.assert_close(weights.var(0), torch.full((4,), 3 / 5), atol=0.08, rtol=0)
    else:  # differences of the logarithms are those of standard normals
        logs = weights.log()
        torch.testing.assert_close((logs[:, 0] - logs[:, 1]).var(), torch.tensor(2.0), atol=0.25, rtol=0)


def test_follows_the_seed_of_the_step() -> None:
    assert torch.equal(drawn("normal", 3), drawn("normal", 3))


def test_alone_its_weight_is_the_planned_one() -> None:
    weighting = Random({"b": 0.3})
    weighting.build(NAMES, [], [])
    assert weighting({"b": torch.tensor(2.0)}, 0.0)[0].item() == pytest.approx(0.6)
