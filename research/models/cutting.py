"""Fewer layers of a model: a student cut from its teacher."""

from typing import Any

from torch import nn

from research.errors import UserError
from research.models.families import Family


def keep_layers(model: Any, family: Family, kept: list[int], *configs: Any) -> None:
    """Leave the model only some layers of each stack, and let it and its configurations say so.

    Args:
        kept: rising numbers, counted from 0.
        configs: further configurations of the model; a loaded one has a copy of its own.

    Raises:
        UserError: for numbers that the model does not have.
    """
    for owner, attribute in family.stacks(model):
        layers = getattr(owner, attribute)
        known = set(range(len(layers)))
        if not kept or sorted(known.intersection(kept)) != kept:
            raise UserError(f"model.student: keep_layers is {kept}; give rising numbers from 0 to {len(layers) - 1}")
        if hasattr(owner, "block") and kept[0] != 0:
            raise UserError("model.student: keep_layers must begin with 0, whose relative positions T5 shares")
        left = nn.ModuleList(layers[i] for i in kept)
        for i, layer in enumerate(left):
            module: Any
            for module in layer.modules():
                if hasattr(module, "layer_idx"):
                    module.layer_idx = i
        setattr(owner, attribute, left)
        if hasattr(owner, "config"):  # T5's stacks have their own
            own: Any = owner.config
            own.num_hidden_layers = len(left)
    for config in (*configs, model.config):
        for name in ("num_hidden_layers", "num_decoder_layers", "decoder_layers"):
            if hasattr(config, name):
                setattr(config, name, len(kept))
        types = getattr(config, "layer_types", None) or []
        if len(types) > len(kept):
            config.layer_types = [types[i] for i in kept]
