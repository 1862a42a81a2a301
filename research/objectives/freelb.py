"""Free large-batch adversarial training (FreeLB, Zhu et al. 2020, arXiv:1909.11764)."""

import torch
from torch import Tensor

from research.errors import UserError
from research.objectives.classification import Classification
from research.sharding import Whole
from research.step import Step, View


def ascend(noise: Tensor, gradient: Tensor, step_size: float, radius: float) -> Tensor:
    """``delta + alpha g / |g|``, scaled back to a norm of ``radius``, with the norms of each example of (N, L, E)."""

    def norm(x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)

    moved = noise + step_size * gradient / norm(gradient)
    return moved * (radius / norm(moved)).clamp_max(1)


class FreeLB(Classification, Whole):
    """:class:`Classification` of texts whose input embeddings move against it: the mean loss of each step of ascent.

    ``1/K sum_t L(x + delta_t, y)``, from ``delta_0 ~ U(-radius, radius) / sqrt(L E)`` and on by :func:`ascend`, all K
    under the same dropout masks. Held-out data are not moved.

    Args:
        stream: a task with problem ``classify`` or ``multilabel``.
        steps: K, at least 1.
        step_size: alpha, above 0.
        radius: the greatest norm of a text's delta, above 0.
        class_weights: as for :class:`Classification`, like the settings not named here.
    """

    def __init__(
        self,
        stream: str,
        steps: int = 3,
        step_size: float = 0.1,
        radius: float = 0.5,
        class_weights: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        view: View | None = None,
    ) -> None:
        super().__init__(stream, class_weights, label_smoothing, view)
        for name, value in {"step_size": step_size, "radius": radius}.items():
            if value <= 0:
                raise UserError(f"{name} is {value}; it must be above 0")
        if steps < 1:
            raise UserError(f"steps is {steps}; it must be at least 1")
        self.steps, self.step_size, self.radius = steps, step_size, radius

    def forward(self, step: Step) -> Tensor:
        noise = self.start(step)
        losses = []
        while True:
            with torch.random.fork_rng([noise.device] if noise.is_cuda else []):
                encoded = step.again(self.stream, self.view, noise.requires_grad_())
                logits = step.student.class_logits(encoded, self.stream)
            losses.append(self.loss(logits, step.labels(self.stream)))
            if len(losses) == self.steps:
                return torch.stack(losses).mean()
            (gradient,) = torch.autograd.grad(losses[-1], noise, retain_graph=True)
            noise = ascend(noise.detach(), gradient, self.step_size, self.radius)

    def start(self, step: Step) -> Tensor:
        """The first delta (N, L, E), zero at padding."""
        mask = step.tokens(self.stream, self.view).mask[..., None]
        noise = torch.empty_like(step.no_noise(self.stream, self.view)).uniform_(-self.radius, self.radius)
        return noise * mask / (mask.sum(1, keepdim=True) * noise.shape[-1]).sqrt()
