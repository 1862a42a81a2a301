"""Training with weights that are rounded in each forward, so that integers will do afterwards, by torchao."""

from typing import TYPE_CHECKING, Any

from torch import nn

from research.errors import UserError
from research.models.compression.integers import GROUP
from research.models.compression.maps import layers_of
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family


class QuantisationAware(Compression):
    """The linear maps in the layers see the grid of :class:`Integers` in training; gradients pass as if they did not
    (Jacob et al. 2018, arXiv:1712.05877). With 8 bits their inputs are rounded too, token by token.

    ``compress --bits`` then makes integers of what was trained. Needs the extra ``compression``.

    Args:
        bits: 8 or 4.
    """

    lasts = False

    def __init__(self, bits: int = 8) -> None:
        if bits not in (8, 4):
            raise UserError(f"model.student.compression: QuantisationAware: bits is {bits}; it must be 8 or 4")
        self.bits = bits

    def apply(self, model: Any, family: "Family") -> None:
        try:
            import torch
            from torchao.quantization import quantize_
            from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig
        except ImportError:
            raise UserError(
                "model.student.compression: QuantisationAware needs the extra: pip install "
                "'hybrid-fine-tuning[compression]'"
            ) from None
        if self.bits == 8:
            inputs = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
            weights = IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)
        else:
            four: Any = torch.int4  # type: ignore[attr-defined]
            inputs, weights = None, IntxFakeQuantizeConfig(four, group_size=GROUP, is_symmetric=True)

        def fits(module: nn.Module, name: str) -> bool:
            return isinstance(module, nn.Linear) and (self.bits == 8 or module.in_features % GROUP == 0)

        layers = layers_of(model, family)
        if not any(fits(module, "") for module in layers.modules()):
            kind = model.config.model_type
            raise UserError(f"model.student.compression: QuantisationAware: {kind} has no torch.nn.Linear that fits")
        quantize_(layers, QATConfig(activation_config=inputs, weight_config=weights, step="prepare"), fits)
