"""The student's tokenizer, which adds the special tokens that texts had in training."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from research.data.batch import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.models.student import Student


def framing(student: "Student", max_length: int | None) -> "PreTrainedTokenizerBase":
    """A tokenizer of Transformers that frames a text or a pair as the student's family does, and cuts to a length.

    Where the student has no token for padding, a text's end serves, under the attention mask.
    """
    from tokenizers.processors import TemplateProcessing

    tokenizer: Any = copy.deepcopy(student.tokenizer)
    pieces = [_template(student, pair) for pair in (False, True)]
    special = {i for ids, _ in pieces for i in ids if i >= 0}
    names = {i: tokenizer.convert_ids_to_tokens(i) for i in special}
    single, pair = (
        [f"{('$A', '$B')[-1 - i] if i < 0 else names[i]}:{int(place >= second > 0)}" for place, i in enumerate(ids)]
        for ids, second in pieces
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, pair=pair, special_tokens=[(name, i) for i, name in names.items()]
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(student.vocabulary.pad)
    if (longest := max_length or student.max_length) is not None:
        tokenizer.model_max_length = longest
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    names_of_inputs = ["input_ids", *(["token_type_ids"] if student.has_types else []), "attention_mask"]
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names_of_inputs  # the latter is saved
    return tokenizer


def reader(folder: Path) -> Callable[[list[str], list[str] | None], Any]:
    """What reads texts, or pairs with their seconds, as tensors, by the tokenizer that a folder has."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return partial(tokenizer, return_tensors="pt", padding=True, truncation=True)


def _template(student: "Student", pair: bool) -> tuple[list[int], int]:
    """The ids that frame texts, -1 for the first and -2 for the second, and where the second begins."""
    row = student.family.frame(Example(np.array([-1]), np.array([-2]) if pair else None), student.vocabulary)
    return row.ids.tolist(), row.second
