"""A sequence-to-sequence model as a function from texts to texts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import xxhash

from research.data.cache import key
from research.errors import UserError


@dataclass(frozen=True)
class Translator:
    """A sequence-to-sequence checkpoint of Transformers.

    Args:
        model: a hub name, a local folder or ``package:NAME``.
        revision: branch, tag or commit of a hub name.
        prefix: what the model wants before each text, such as T5's "translate English to German: ".
    """

    model: str
    revision: str | None = None
    prefix: str = ""

    kind: ClassVar[str] = "sequence-to-sequence"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"

    def fingerprint(self) -> str:
        """Digest of a folder's files, or of a hub's name and revision, and of the prefix."""
        from research.models.backbone import resolve

        digest, folder = xxhash.xxh3_128(), Path(resolve(self.model))
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            with path.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        return key(digest.hexdigest(), asdict(self))

    def load(self) -> "Loaded":
        """The model, on a GPU if there is one.

        Raises:
            UserError: for what is no checkpoint of the kind.
        """
        import torch
        import transformers

        from research.models.backbone import load_tokenizer, resolve

        try:
            tokenizer = load_tokenizer(self.model, self.revision)
            auto = getattr(transformers, self.auto_class)
            model = auto.from_pretrained(resolve(self.model), revision=self.revision, trust_remote_code=False)
        except (OSError, ValueError, ImportError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(f"translator {self.model}: cannot be loaded for {self.kind} ({first})") from None
        return Loaded(model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer, self.prefix)


@dataclass
class Loaded:
    """A translator in memory."""

    model: Any
    tokenizer: Any
    prefix: str

    def __call__(self, texts: Sequence[str | None], beams: int, max_length: int) -> list[str | None]:
        """Translations in the order of the texts; none of a text that is none, too long, or that comes to no end."""
        import torch

        given = {i: self._ended(self.prefix + text) for i, text in enumerate(texts) if text is not None}
        fitting = {i: text for i, text in given.items() if len(self.tokenizer(text)["input_ids"]) <= max_length}
        out: list[str | None] = [None] * len(texts)
        if not fitting:
            return out
        batch = self.tokenizer(list(fitting.values()), padding=True, return_token_type_ids=False, return_tensors="pt")
        with torch.inference_mode():
            made = self.model.generate(
                **batch.to(self.model.device), num_beams=beams, do_sample=False, max_new_tokens=max_length
            )
        for i, row in zip(fitting, made, strict=True):
            if self.tokenizer.eos_token_id in row[1:]:
                out[i] = self.tokenizer.decode(row, skip_special_tokens=True).strip() or None
        return out

    def _ended(self, text: str) -> str:
        """The tokenizers that we train leave the end of a text to the model's family, unlike published ones."""
        ended = self.tokenizer.eos_token_id in self.tokenizer(text)["input_ids"]
        return text if ended else text + self.tokenizer.eos_token
