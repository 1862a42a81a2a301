"""Linear maps in int8: a quarter of the memory, and of the time where the processor multiplies such numbers."""

import warnings

import torch
from torch import nn

from research.errors import UserError
from research.models.linear import Linear


def quantise(model: nn.Module) -> None:
    """Replace each linear map of a float32 model on the CPU by torch's dynamically quantised one.

    Weights get a scale an output; activations are rounded by the range that they have in the batch, so what is read
    together moves an answer a little (Jacob et al. 2018, arXiv:1712.05877).

    Raises:
        UserError: for a model without linear maps of torch's, such as GPT-2.
    """
    maps = [module for module in model.modules() if type(module) in (nn.Linear, Linear)]
    if not maps:
        raise UserError("precision is int8, but the student has none of torch's linear maps; use 32 or bf16")
    for module in maps:
        module.__class__ = nn.Linear
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its successor, torchao, is fast by torch.compile alone
        by_row = torch.ao.quantization.per_channel_dynamic_qconfig
        torch.ao.quantization.quantize_dynamic(model, {nn.Linear: by_row}, inplace=True)
