"""A backbone's tokenizer with only the tokens that a corpus uses, and the rows of the embedding that belong to them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from research.data.cache import key
from research.data.sources import Source
from research.data.tokenised import FIELDS, encode, tokenizer_fingerprint
from research.errors import UserError
from research.models.backbone import load_tokenizer
from research.models.compression.maps import is_word_embedding, replace
from research.models.tokenizer import kept

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS = 1000  # tokenised at once
IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id")


class TrimmedTokenizer:
    """For ``model.student.tokenizer`` beside a ``backbone``, whose embedding is cut to the same tokens.

    Words that the corpus does not have are read in smaller pieces. A teacher that reads the student's ids must have the
    same tokens; :class:`research.models.AlignedTeacher` has others.

    Args:
        source: the texts whose tokens are kept.
        vocab_size: the most tokens that are kept, special ones and letters among them, the most frequent first; the
            default keeps all that the source uses.
    """

    def __init__(self, source: Source, vocab_size: int | None = None) -> None:
        self.source, self.vocab_size = source, vocab_size

    def load(self, backbone: str, revision: str | None) -> "PreTrainedTokenizerBase":
        """The backbone's tokenizer without the others, from the cache or made now."""
        whole = load_tokenizer(backbone, revision)
        name = key("trimmed-1", self.source.fingerprint(), self.vocab_size, tokenizer_fingerprint(whole))
        return kept(name, lambda: trimmed(whole, texts_of(self.source), self.vocab_size))

    def rows(self, tokenizer: "PreTrainedTokenizerBase", backbone: str, revision: str | None) -> np.ndarray:
        """For each token of what :meth:`load` gave its id in the backbone's, (V,)."""
        return rows_of(load_tokenizer(backbone, revision), tokenizer)


def texts_of(source: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """All that a student may read or write of the records of a source."""
    return (record[name] for record in source for name in FIELDS if isinstance(record.get(name), str))


def trimmed(
    tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str], vocab_size: int | None = None
) -> "PreTrainedTokenizerBase":
    """A tokenizer with the special tokens, those that texts use, and the letters of these, in their order.

    Raises:
        UserError: if there is no text, or ``vocab_size`` has no room for what cannot be left out.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    counts = counted(tokenizer, texts)
    if not counts:
        raise UserError("the vocabulary cannot be trimmed to no text")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = PIECES.get(state["model"]["type"])
    if pieces is None:
        raise UserError(f"a vocabulary of {state['model']['type']} cannot be trimmed; WordPiece, BPE and Unigram can")
    number = {token: i for i, token in enumerate(chosen(tokenizer, counts, state, vocab_size))}
    pieces(state["model"], number)
    state["added_tokens"] = [{**added, "id": number[added["content"]]} for added in state["added_tokens"]]
    state["post_processor"] = state["truncation"] = state["padding"] = None  # a student frames and cuts by itself
    names = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)), **names)


def counted(tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str]) -> "Counter[int]":
    """How often texts use each token."""
    counts: Counter[int] = Counter()
    few: list[str] = []
    for text in texts:
        few.append(text)
        if len(few) == TEXTS:
            counts.update(i for ids in encode(tokenizer, few) for i in ids)
            few.clear()
    counts.update(i for ids in encode(tokenizer, few) for i in ids)
    return counts


def chosen(
    tokenizer: "PreTrainedTokenizerBase", counts: "Counter[int]", state: dict[str, Any], vocab_size: int | None
) -> list[str]:
    """The tokens that are kept, in the order of their ids."""
    known = {token: i for token, i in tokenizer.get_vocab().items() if i < len(tokenizer)}
    named: dict[int, str] = {i: token for token, i in known.items()}
    letters = {letter for i in counts for letter in named[i]}
    left = {added["content"] for added in state["added_tokens"]} | set(tokenizer.all_special_tokens)
    left |= {piece for letter in letters for piece in (letter, f"##{letter}") if piece in known}
    left |= {piece for piece in known if piece.startswith("<0x") and state["model"].get("byte_fallback")}
    left |= {
        piece for piece in known if len(piece) == 1 and state["model"]["type"] == "BPE"
    }  # bytes, which any text may have
    ranks = {pair: i for i, pair in enumerate(merges(state["model"]))}
    room = len(known) if vocab_size is None else vocab_size
    if len(left) > room:
        raise UserError(
            f"a vocabulary of {room} has no room for the {len(left)} special tokens and letters of the texts"
        )
    for i, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        wanted = (closed(named[i], ranks) & known.keys()) - left
        if len(left) + len(wanted) <= room:
            left |= wanted
    return sorted(left, key=known.__getitem__)


def merges(model: dict[str, Any]) -> list[tuple[str, ...]]:
    """The pairs that a BPE joins, the first first; of other models none."""
    return [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges", [])]


def closed(token: str, ranks: dict[tuple[str, ...], int]) -> set[str]:
    """A token, and of a BPE all that is joined on the way to it."""
    parts = list(token) if ranks else [token]
    found = {token, *parts}
    while pairs := [pair for pair in pairwise(parts) if pair in ranks]:
        first = min(pairs, key=ranks.__getitem__)
        place = list(pairwise(parts)).index(first)
        parts[place : place + 2] = ["".join(first)]
        found.add(parts[place])
    return found


def of_words(model: dict[str, Any], number: dict[str, int]) -> None:
    """Keeps the numbered tokens of a WordPiece or WordLevel model, in place."""
    model["vocab"] = {token: number[token] for token in model["vocab"] if token in number}


def of_merges(model: dict[str, Any], number: dict[str, int]) -> None:
    """Keeps the numbered tokens of a BPE model and the merges among them, in place."""
    model["merges"] = [list(pair) for pair in merges(model) if {*pair, "".join(pair)} <= number.keys()]
    of_words(model, number)


def of_scores(model: dict[str, Any], number: dict[str, int]) -> None:
    """Keeps the numbered tokens of a Unigram model with their scores, in place."""
    unknown = None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]
    model["vocab"] = [[token, score] for token, score in model["vocab"] if token in number]
    model["unk_id"] = None if unknown is None else number[unknown]


PIECES = {"WordPiece": of_words, "BPE": of_merges, "Unigram": of_scores}  # the vocabulary in a tokenizer's JSON


def rows_of(old: "PreTrainedTokenizerBase", new: "PreTrainedTokenizerBase") -> np.ndarray:
    """For each token of a trimmed tokenizer its id in the old one, (V,)."""
    tokens: Sequence[str] = new.convert_ids_to_tokens(list(range(len(new))))
    return np.array(old.convert_tokens_to_ids(list(tokens)))


@torch.no_grad()
def cut_vocabulary(model: Any, rows: np.ndarray, *configs: Any) -> None:
    """Leave a language model some rows of its embedding and its output (V, H), and number its special tokens anew, also
    in further configurations.
    """
    old, left = model.get_input_embeddings(), torch.from_numpy(rows)
    if not isinstance(old, nn.Embedding):
        raise UserError(
            "the vocabulary of a factorised embedding, or one in integers, cannot be trimmed; trim it before"
        )
    output = model.get_output_embeddings()
    tied = output is not None and output.weight is old.weight
    number = {int(i): place for place, i in enumerate(rows)}
    padding = None if old.padding_idx is None else number.get(old.padding_idx)
    new = nn.Embedding.from_pretrained(
        old.weight[left].clone(), freeze=not old.weight.requires_grad, padding_idx=padding
    )
    replace(model, lambda child: new if is_word_embedding(child, old) else None)
    if output is not None:
        bias = getattr(output, "bias", None)
        output.weight = new.weight if tied else nn.Parameter(output.weight[left].clone())
        output.out_features = len(rows)
        if bias is not None:
            short = nn.Parameter(bias[left].clone())
            for module in model.modules():  # BERT has it twice
                for name, parameter in list(module.named_parameters(recurse=False)):
                    if parameter is bias:
                        setattr(module, name, short)
    own = [c for module in model.modules() if (c := getattr(module, "config", None)) is not None]
    for config in {id(c): c for c in (*own, *configs)}.values():
        config.vocab_size = len(rows)
        for name in IDS:
            if isinstance(i := getattr(config, name, None), int):
                setattr(config, name, number.get(i))
