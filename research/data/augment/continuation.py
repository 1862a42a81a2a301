"""A decoder as a function from texts to texts: it goes on after a text and the end token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from research.data.augment.translator import Loaded, Translator


@dataclass(frozen=True)
class Continuation(Translator):
    """A decoder checkpoint of Transformers that was trained by :class:`research.objectives.Generation`.

    Args:
        model: a hub name, a local folder or ``package:NAME``.
        revision: branch, tag or commit of a hub name.
        prefix: what the model wants before each text.
    """

    kind: ClassVar[str] = "continuing texts"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    def load(self) -> "Continuing":
        loaded = super().load()
        return Continuing(loaded.model, loaded.tokenizer, self.prefix)


class Continuing(Loaded):
    """A decoder in memory."""

    def __call__(self, texts: Sequence[str | None], beams: int, max_length: int) -> list[str | None]:
        """What it writes, in the order of the texts; none of a text that is none, too long, or that comes to no end."""
        import torch

        end = self.tokenizer.eos_token_id
        out: list[str | None] = [None] * len(texts)
        rows = {}
        for i, text in enumerate(texts):
            if text is not None:
                ids = self.tokenizer(self.prefix + text, add_special_tokens=False)["input_ids"]
                if len(ids) < max_length:
                    rows[i] = [*ids, end]
        if not rows:
            return out
        longest = max(map(len, rows.values()))
        ids = torch.tensor([[end] * (longest - len(row)) + row for row in rows.values()])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows.values()])
        device = self.model.device
        with torch.inference_mode():
            made = self.model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                num_beams=beams,
                do_sample=False,
                max_new_tokens=max_length,
                eos_token_id=end,
                pad_token_id=end,
            )
        for i, row in zip(rows, made[:, longest:].tolist(), strict=True):
            if end in row:
                out[i] = self.tokenizer.decode(row[: row.index(end)], skip_special_tokens=True).strip() or None
        return out
