"""Trains a toy for some steps with each weighting, alone or as one of two processes, and prints where it came to.

``python processes.py RANK WORLD FILE``: each process reads its share of the same examples.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchjd.aggregation import MGDA, PCGrad

from research.weighting import Aggregation, DynamicWeightAverage, GradNorm, LossScale, Random, Uncertainty

NAMES = ["a", "b", "c"]
KINDS = {
    "mgda": lambda: Aggregation(MGDA()),
    "pcgrad": lambda: Aggregation(PCGrad(), parts=2),
    "gradnorm": lambda: GradNorm(lr=0.1),
    "loss_scale": LossScale,
    "dynamic": lambda: DynamicWeightAverage(every=1),
    "random": Random,
    "uncertainty": lambda: Uncertainty(lr=0.1),
}


class Run(nn.Module):
    def __init__(self, weighting: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.Tanh())
        self.heads = nn.ModuleDict({name: nn.Linear(4, 1) for name in NAMES})
        self.weighting = weighting
        weighting.build(
            NAMES, [list(self.trunk[2].parameters()), list(self.trunk[0].parameters())], list(self.parameters())
        )

    def forward(self, x: Tensor, names: list[str]) -> Tensor:
        target = {"a": 1.0, "b": -10 * x[:, 1:2], "c": x[:, :1]}
        hidden = self.trunk(x)
        losses = {name: (self.heads[name](hidden) - target[name]).square().mean() for name in names}
        loss: Tensor = self.weighting(losses, 0.0)[0]
        return loss


def train(kind: str, rank: int, world: int) -> list[float]:
    run = Run(KINDS[kind]())
    model = DistributedDataParallel(run, find_unused_parameters=True) if world > 1 else run
    optimiser = torch.optim.SGD(run.parameters(), lr=0.05)
    for step, names in enumerate((NAMES, ["a", "b"], NAMES, ["c"], NAMES)):
        torch.manual_seed(step)
        x = torch.randn(8, 5).chunk(world)[rank]
        torch.manual_seed(hash((step, rank)))  # random numbers of a step differ among the processes
        optimiser.zero_grad()
        run.weighting.backward(model(x, names))
        optimiser.step()
    return torch.cat([p.flatten() for p in run.parameters()]).tolist()


if __name__ == "__main__":
    rank, world, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if world > 1:
        dist.init_process_group("gloo", f"file://{file}", rank=rank, world_size=world)
    print(json.dumps({kind: train(kind, rank, world) for kind in KINDS}))
