"""A tokenizer trained from a corpus, for students that start from random weights."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from research.data.cache import default_folder, key
from research.data.sources import Source
from research.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

SENTINELS = 100  # as many as T5 has
CJK = "[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"  # written without spaces


class TrainedTokenizer:
    """Trained once by ``tokenizers`` and kept in the cache, keyed by the corpus and these settings.

    Args:
        source: the texts to learn from.
        vocab_size: tokens, special ones included.
        kind: ``wordpiece`` as in BERT, where each Chinese character is a token; ``bpe`` on bytes as in GPT-2, which
            loses nothing; ``unigram`` with sentinels as in T5, which folds full-width forms (Unicode NFKC).
        lowercase: fold case (``wordpiece`` only).
    """

    def __init__(
        self,
        source: Source,
        vocab_size: int = 8000,
        kind: Literal["wordpiece", "bpe", "unigram"] = "wordpiece",
        lowercase: bool = True,
    ) -> None:
        if vocab_size < 300:
            raise UserError(f"model.student: tokenizer vocab_size is {vocab_size}; it must be at least 300")
        self.source, self.vocab_size, self.kind, self.lowercase = source, vocab_size, kind, lowercase

    def load(self) -> "PreTrainedTokenizerBase":
        """The tokenizer, trained now if the cache does not hold it."""
        return kept(
            key("tokenizer-3", self.source.fingerprint(), self.vocab_size, self.kind, self.lowercase), self._train
        )

    def _train(self) -> "PreTrainedTokenizerBase":
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        if self.kind == "wordpiece":
            names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                     "mask_token": "[MASK]"}  # fmt: skip
            return PreTrainedTokenizerFast(tokenizer_object=self._wordpiece(list(names.values())), **names)
        trainer: trainers.Trainer
        if self.kind == "bpe":
            names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=self.vocab_size,
                special_tokens=["<|endoftext|>"],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            )
        else:
            names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
            sentinels = [f"<extra_id_{i}>" for i in range(SENTINELS)]
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.normalizer = normalizers.NFKC()
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=self.vocab_size,
                special_tokens=["<pad>", "</s>", "<unk>", *sentinels],
                unk_token="<unk>",
                show_progress=False,
            )
        tokenizer.train_from_iterator(self._texts(), trainer)
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)

    def _wordpiece(self, special: list[str]) -> "Tokenizer":
        """The same one from the same texts, in each process.

        The trainer meets the letters inside words in an order that no seed decides, and ties between merges
        go by it. Given as special tokens they are numbered before, in ours; then they are made plain again.
        """
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

        normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        words = pre_tokenizers.BertPreTokenizer()
        found = (words.pre_tokenize_str(normalizer.normalize_str(text)) for text in self._texts())
        inner = {letter for text in found for word, _ in text for letter in word[1:]}
        trainer = trainers.WordPieceTrainer(
            vocab_size=self.vocab_size,
            special_tokens=[*special, *(f"##{letter}" for letter in sorted(inner))],
            show_progress=False,
        )
        learning = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        learning.normalizer, learning.pre_tokenizer = normalizer, words
        learning.train_from_iterator(self._texts(), trainer)
        tokenizer = Tokenizer(models.WordPiece(learning.get_vocab(), unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, words
        between = Regex(rf"(?<={CJK}) | (?={CJK})")
        tokenizer.decoder = decoders.Sequence([decoders.WordPiece(), decoders.Fuse(), decoders.Replace(between, "")])
        return tokenizer

    def _texts(self) -> Iterator[str]:
        return (record["text"] for record in self.source)


def kept(name: str, make: "Callable[[], PreTrainedTokenizerBase]") -> "PreTrainedTokenizerBase":
    """A tokenizer from the cache, made now if it is not there under this name."""
    from filelock import FileLock
    from transformers import AutoTokenizer

    folder = default_folder() / "tokenizers" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            work = Path(tempfile.mkdtemp(dir=folder.parent))
            try:
                make().save_pretrained(str(work))
                os.replace(work, folder)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder))
    return tokenizer
