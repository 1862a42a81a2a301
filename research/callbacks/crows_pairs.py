"""Whether the student's language model finds stereotypes likelier."""

from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.data.sources import Source
from research.errors import UserError
from research.evaluation.bias.crows_pairs import stereotype_preference
from research.objectives.token_prediction import TokenPrediction
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class CrowsPairs(Callback, Whole):
    """On ``test``, :func:`research.evaluation.bias.crows_pairs.stereotype_preference`, logged as
    ``test/crows_pairs/TYPE``, with the ends of its interval as ``/low`` and ``/high``, by type and for ``all``.

    For students with a language-model head that was published or is trained.

    Args:
        source: as :func:`stereotype_preference` reads it.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def on_test_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        student = module.student
        given = student.backbone is not None and not student.untrained
        if not given and not any(isinstance(o, TokenPrediction) for o in module.objectives.values()):
            raise UserError(
                f"trainer.callbacks: CrowsPairs: {student.backbone or 'a new architecture'} brings no language-model "
                "head, and no objective trains one; add MaskedLM or CausalLM"
            )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        figures: dict[str, float] = {}
        for name, found in stereotype_preference(module.student, self.source).items():
            figures |= {name: found.share, f"{name}/low": found.low, f"{name}/high": found.high}
        module.log_dict({f"test/crows_pairs/{name}": value for name, value in figures.items()}, logger=False)
