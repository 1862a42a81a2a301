"""JSON of a schema, put through while it is written."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from research.data.batch import Tokens
from research.errors import UserError
from research.inference.repetition import first_written
from research.inference.writing import write_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.models.student import Student


def write_json(student: "Student", tokens: Tokens, schema: Mapping[str, Any], most: int, **settings: Any) -> list[Any]:
    """A value of a JSON schema for each of the N sources that ``Clean()`` shows; None where it does not end.

    ``most`` bounds its tokens; a schema whose texts and lists are bounded (``maxLength``, ``maxItems``) ends in time.
    ``settings`` are those of Transformers' ``generate``. Needs the extra ``schema``.

    Raises:
        UserError: without the extra, for a schema that is none, or a tokenizer that has no JSON.
    """
    from transformers import LogitsProcessorList

    rule = JSONSchema(schema, student.tokenizer, first_written(student, tokens.mask.sum(1)))
    texts = write_texts(student, tokens, most, logits_processor=LogitsProcessorList([rule]), **settings)
    return [_value(text) for text in texts]


class JSONSchema:
    """A logits processor of Transformers that allows the tokens that go on to JSON of a schema, and no other.

    Args:
        schema: the JSON schema, as llguidance reads it.
        tokenizer: of the student.
        first: the column where the writing begins, as :func:`research.inference.repetition.first_written` has it.
    """

    def __init__(self, schema: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase", first: int) -> None:
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ModuleNotFoundError as error:
            extra = "pip install 'hybrid-fine-tuning[schema]'"
            raise UserError(f"JSON of a schema needs the extra: {extra} ({error.name})") from None
        grammar = LLMatcher.grammar_from_json_schema(
            dict(schema), overrides={"whitespace_flexible": False}
        )  # or it never ends
        if problem := LLMatcher.validate_grammar(grammar):
            raise UserError(f"schema: {_line(problem)}")
        self.first, self.end = first, int(tokenizer.eos_token_id)
        try:
            start = LLMatcher(from_tokenizer(tokenizer, eos_token=self.end), grammar)  # type: ignore[arg-type]
        except ValueError as error:
            raise UserError(
                f"the student's tokenizer, which is not on bytes, cannot write JSON: {_line(str(error))}"
            ) from None
        self.start = start
        self.matchers: dict[tuple[int, ...], Any] = {}  # by what was written, in the step before

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores (R, V) of the next token after ids (R, L), -inf where it is not allowed."""
        scores, matchers = scores.clone(), dict[tuple[int, ...], Any]()
        for i, row in enumerate(map(tuple, input_ids[:, self.first :].tolist())):
            if self.end in row:
                continue
            if row not in matchers:
                matchers[row] = self._after(row)
            forbidden = torch.ones(scores.shape[1], dtype=torch.bool)
            forbidden[self._allowed(matchers[row])] = False
            scores[i].masked_fill_(forbidden.to(scores.device), -torch.inf)
        self.matchers = matchers
        return scores

    def _after(self, row: tuple[int, ...]) -> Any:
        if not row:
            return self.start.deep_copy()
        matcher = self.matchers[row[:-1]].deep_copy()
        matcher.consume_token(row[-1])
        return matcher

    def _allowed(self, matcher: Any) -> np.ndarray:
        if matcher.is_stopped():
            return np.array([self.end])
        return np.flatnonzero(np.frombuffer(matcher.compute_logit_bias(), np.uint8))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _line(message: str) -> str:
    return " ".join(message.split())
