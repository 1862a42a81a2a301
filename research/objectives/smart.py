"""Smoothness-inducing adversarial regularisation (SMART, Jiang et al. 2020, arXiv:1911.03437)."""

import torch
from torch import Tensor

from research.errors import UserError
from research.objectives.smoothness import Smoothness
from research.sharding import Whole
from research.step import Step, View


def ascend(noise: Tensor, gradient: Tensor, step_size: float, radius: float) -> Tensor:
    """``clamp(delta + eta g / |g|_inf)`` to [-radius, radius], for each example of (N, L, E)."""
    largest = gradient.abs().amax(dim=(1, 2), keepdim=True)
    return (noise + step_size * gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)).clamp(-radius, radius)


class SMART(Smoothness, Whole):
    """``max over |delta|_inf <= radius of KL(p || q) + KL(q || p)``, q with delta added to the input embeddings.

    The maximum is sought from ``delta ~ N(0, noise^2)`` by :func:`ascend`. The paper's second part, Bregman proximal
    steps, is not here.

    Args:
        stream: any stream; no label of it is read.
        task: as for :class:`RDrop`, like ``tokens``.
        radius: above 0, in units of the embeddings; the paper takes 1e-5.
        step_size: eta, above 0; the paper takes 1e-3.
        steps: of ascent, at least 1; each is a forward and a backward pass.
        noise: standard deviation of the start, above 0; the paper takes 1e-5.
    """

    def __init__(
        self,
        stream: str,
        task: str | None = None,
        tokens: View | None = None,
        radius: float = 1e-2,
        step_size: float = 1e-2,
        steps: int = 1,
        noise: float = 1e-3,
    ) -> None:
        super().__init__(stream, task, tokens)
        for name, value in {"radius": radius, "step_size": step_size, "noise": noise}.items():
            if value <= 0:
                raise UserError(f"{name} is {value}; it must be above 0")
        if steps < 1:
            raise UserError(f"steps is {steps}; it must be at least 1")
        self.radius, self.step_size, self.steps, self.noise = radius, step_size, steps, noise

    def forward(self, step: Step) -> Tensor:
        noise = self.noise * torch.randn_like(step.no_noise(self.stream, self.view))
        for _ in range(self.steps):
            noise.requires_grad_()
            difference = self.difference(step, step.again(self.stream, self.view, noise))
            (gradient,) = torch.autograd.grad(difference, noise, retain_graph=True)
            noise = ascend(noise.detach(), gradient, self.step_size, self.radius)
        return self.difference(step, step.again(self.stream, self.view, noise))
