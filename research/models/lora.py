"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) by PEFT, put into the backbone in place."""

from typing import Any

from torch import nn

from research.errors import UserError


def add_lora(model: nn.Module, settings: dict[str, Any]) -> None:
    """Add adapters to the layers that ``settings`` (of ``peft.LoraConfig``) names; all else is frozen.

    Raises:
        UserError: if PEFT is missing or the settings do not fit the model.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("model.student: lora needs the extra: pip install 'hybrid-fine-tuning[lora]'") from None
    try:
        inject_adapter_in_model(LoraConfig(**settings), model)
    except (TypeError, ValueError) as error:
        raise UserError(f"model.student: lora: {str(error).splitlines()[0]}") from None


def merge_lora(model: nn.Module) -> None:
    """Add the adapters to the weights they adapt, and take them out: the model is again as it was published."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
