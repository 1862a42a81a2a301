"""Checkpoints of Fairseq (Ott et al. 2019, arXiv:1904.01038): RoBERTa and BART, turned into Transformers folders."""

import hashlib
import json
import logging
import pickle
import shutil
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from torch import Tensor

from research.data.cache import default_folder
from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

log = logging.getLogger(__name__)

Weights = dict[str, Tensor]
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # what every dictionary begins with, written or not
GPT2 = "openai-community/gpt2"  # whose byte pairs the published dictionaries number
EMBEDDINGS, LAYER = "roberta.embeddings.", "roberta.encoder.layer."
ROBERTA = {  # of Fairseq's names, longest first, those of Transformers
    "self_attn.q_proj": "attention.self.query", "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value", "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm", "final_layer_norm": "output.LayerNorm",
    "fc1": "intermediate.dense", "fc2": "output.dense",
}  # fmt: skip


def converted(path: Path) -> Path:
    """The Transformers folder made from a Fairseq checkpoint, which is made once and kept.

    Args:
        path: a folder with ``model.pt``, or a checkpoint file; ``dict.txt`` lies beside it. The files of its byte
            pairs, ``encoder.json`` and ``vocab.bpe``, may lie there too; without them they are GPT-2's, by name.

    Raises:
        UserError: if a file is missing or broken, or the model is neither RoBERTa nor BART.
    """
    file = path / "model.pt" if path.is_dir() else path
    words = file.parent / "dict.txt"
    for needed in (file, words):
        if not needed.is_file():
            raise UserError(f"backbone fairseq:{path}: {needed} is missing")
    seen = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in (file, words)]
    folder = default_folder() / "fairseq" / hashlib.blake2b(json.dumps(seen).encode(), digest_size=16).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            log.info("converting %s", file)
            work = folder.with_suffix(".new")
            shutil.rmtree(work, ignore_errors=True)
            convert(file, words, work)
            work.rename(folder)
    return folder


def convert(file: Path, words: Path, out: Path) -> None:
    """Write configuration, weights and tokenizer of a checkpoint into the folder ``out``."""
    import transformers
    from safetensors.torch import save_file

    weights, settings = read(file)
    vocabulary = dictionary(words)
    embedding = next((weights[k] for k in weights if k.endswith("encoder.embed_tokens.weight")), None)
    if embedding is None:
        raise UserError(f"backbone {file}: neither a RoBERTa nor a BART of Fairseq")
    if len(embedding) == len(vocabulary) + 1:
        vocabulary["<mask>"] = len(vocabulary)  # tasks that mask add it behind the dictionary's words
    if len(embedding) != len(vocabulary):
        raise UserError(f"{words}: has {len(vocabulary)} words, but the model of {file} {len(embedding)}")
    bart = any(".encoder_attn." in key for key in weights)
    weights, config = (as_bart if bart else as_roberta)(weights, settings, file)
    config.vocab_size = len(vocabulary)
    config.architectures = ["BartForConditionalGeneration" if bart else "RobertaForMaskedLM"]
    config.save_pretrained(out)
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, out / "model.safetensors", {"format": "pt"}
    )
    numbers, merges = byte_pairs(file.parent)
    vocab = {numbers.get(word, word): index for word, index in vocabulary.items()}
    transformers.RobertaTokenizer(vocab=vocab, merges=merges).save_pretrained(out)  # type: ignore[arg-type]


def read(file: Path) -> tuple[Weights, Namespace]:
    """Weights and model settings of a checkpoint, by the names of today's Fairseq; no code in the file is run."""
    try:
        with torch.serialization.safe_globals([Namespace]):
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        settings = state.get("args") or state["cfg"]["model"]
        given: Weights = state["model"]
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"backbone {file}: no checkpoint of Fairseq ({str(error).splitlines()[0]})") from None
    weights: Weights = {}
    for name, value in given.items():
        if name.startswith("decoder.sentence_encoder.") or name.startswith("decoder.lm_head."):
            name = name.replace("decoder.", "encoder.", 1)  # as RoBERTa was published
        name = name.replace("sentence_encoder.", "").replace(".emb_layer_norm.", ".layernorm_embedding.")
        if name.endswith((".in_proj_weight", ".in_proj_bias")):
            if ".self_attn." in name:  # elsewhere a copy for a fast path
                start, kind = name.rsplit(".in_proj_", 1)
                for part, third in zip("qkv", value.chunk(3), strict=True):
                    weights[f"{start}.{part}_proj.{kind}"] = third
            continue
        weights[name] = value
    return weights, Namespace(**settings) if isinstance(settings, dict) else settings


def dictionary(file: Path) -> dict[str, int]:
    """``{word: index}`` of a ``dict.txt``, whose lines are a word and its count."""
    found = {word: index for index, word in enumerate(SPECIAL)}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        word, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not word or not count.isdigit():
            raise UserError(f"{file}:{number}: not a word and its count")
        if word in found and not line.endswith("#fairseq:overwrite"):
            raise UserError(f"{file}:{number}: the word {word} comes twice")
        found[word] = len(found)
    return found


def byte_pairs(folder: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """GPT-2's byte pairs: the tokens by the numbers that stand in the dictionary, and the merges in their order."""
    from transformers import AutoTokenizer

    tokens, merges = folder / "encoder.json", folder / "vocab.bpe"
    if tokens.exists() and merges.exists():
        numbers = {str(number): token for token, number in json.loads(tokens.read_text(encoding="utf-8")).items()}
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [line.split() for line in lines if line and not line.startswith("#version")]
        return numbers, [(first, second) for first, second in pairs]
    try:
        model = json.loads(AutoTokenizer.from_pretrained(GPT2).backend_tokenizer.to_str())["model"]
    except (OSError, ValueError):
        raise UserError(f"backbone fairseq:{folder}: encoder.json and vocab.bpe of GPT-2 are missing there") from None
    return {str(number): token for token, number in model["vocab"].items()}, [tuple(pair) for pair in model["merges"]]


def as_roberta(weights: Weights, settings: Namespace, file: Path) -> "tuple[Weights, PretrainedConfig]":
    """A ``RobertaForMaskedLM``. Heads of classification tasks are left out."""
    from transformers import RobertaConfig

    check(weights, "encoder.layer_norm.weight", file)
    out: Weights = {}
    for name, value in weights.items():
        part = name.removeprefix("encoder.")
        if part.startswith("layers."):
            _, number, rest = part.split(".", 2)
            if new := next((b for a, b in ROBERTA.items() if rest.startswith(f"{a}.")), None):
                out[f"{LAYER}{number}.{new}.{rest.rpartition('.')[2]}"] = value
        elif part.startswith("lm_head.") and part != "lm_head.weight":
            out[part.replace("lm_head.bias", "lm_head.decoder.bias")] = value
    words, places = weights["encoder.embed_tokens.weight"], weights["encoder.embed_positions.weight"]
    out[f"{EMBEDDINGS}word_embeddings.weight"], out[f"{EMBEDDINGS}position_embeddings.weight"] = words, places
    out[f"{EMBEDDINGS}token_type_embeddings.weight"] = torch.zeros(1, words.shape[1])
    for kind in ("weight", "bias"):
        out[f"{EMBEDDINGS}LayerNorm.{kind}"] = weights[f"encoder.layernorm_embedding.{kind}"]
    out["lm_head.decoder.weight"] = weights.get("encoder.lm_head.weight", words).clone()
    if "lm_head.decoder.bias" in out:
        out["lm_head.bias"] = out["lm_head.decoder.bias"].clone()
    return out, RobertaConfig(
        hidden_size=words.shape[1],
        num_hidden_layers=layers(weights, "encoder"),
        num_attention_heads=settings.encoder_attention_heads,
        intermediate_size=len(weights["encoder.layers.0.fc1.bias"]),
        max_position_embeddings=len(places),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_act=getattr(settings, "activation_fn", "gelu"),
        hidden_dropout_prob=getattr(settings, "dropout", 0.1),
        attention_probs_dropout_prob=getattr(settings, "attention_dropout", 0.1),
        tie_word_embeddings="encoder.lm_head.weight" not in weights
        or torch.equal(weights["encoder.lm_head.weight"], words),
    )


def as_bart(weights: Weights, settings: Namespace, file: Path) -> "tuple[Weights, PretrainedConfig]":
    """A ``BartForConditionalGeneration``, whose layers have the same names there."""
    from transformers import BartConfig

    check(weights, "encoder.layer_norm.weight", file)
    copies = (".in_proj_", ".out_proj_", ".fc1_", ".fc2_")  # of a fast path
    out = {
        f"model.{name}": value
        for name, value in weights.items()
        if name.startswith(("encoder.layers.", "decoder.layers.")) and not any(copy in name for copy in copies)
    }
    words = weights["encoder.embed_tokens.weight"]
    out |= {name: words.clone() for name in ("model.shared.weight", "lm_head.weight")}
    for stack in ("encoder", "decoder"):
        out[f"model.{stack}.embed_tokens.weight"] = words.clone()
        for part in ("embed_positions.weight", "layernorm_embedding.weight", "layernorm_embedding.bias"):
            out[f"model.{stack}.{part}"] = weights[f"{stack}.{part}"]
    for name in ("decoder.embed_tokens.weight", "decoder.output_projection.weight"):
        if not torch.equal(weights.get(name, words), words):
            raise UserError(f"backbone {file}: {name} is not shared with the encoder's words, as BART's is")
    out["final_logits_bias"] = torch.zeros(1, len(words))
    return out, BartConfig(
        d_model=words.shape[1],
        encoder_layers=layers(weights, "encoder"),
        decoder_layers=layers(weights, "decoder"),
        encoder_attention_heads=settings.encoder_attention_heads,
        decoder_attention_heads=settings.decoder_attention_heads,
        encoder_ffn_dim=len(weights["encoder.layers.0.fc1.bias"]),
        decoder_ffn_dim=len(weights["decoder.layers.0.fc1.bias"]),
        max_position_embeddings=len(weights["encoder.embed_positions.weight"]) - 2,  # the first two are no places
        activation_function=getattr(settings, "activation_fn", "gelu"),
        dropout=getattr(settings, "dropout", 0.1),
        attention_dropout=getattr(settings, "attention_dropout", 0.0),
        activation_dropout=getattr(settings, "activation_dropout", 0.0),
        scale_embedding=not getattr(settings, "no_scale_embedding", False),
    )


def check(weights: Weights, name: str, file: Path) -> None:
    """Refuse layers that normalise before, which end in a norm of their own: mBART's, not BART's."""
    if name in weights:
        raise UserError(f"backbone {file}: its layers normalise before attention; RoBERTa and BART normalise after it")


def layers(weights: Weights, stack: str) -> int:
    """How many layers an encoder or a decoder has, by the names of its weights."""
    return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith(f"{stack}.layers."))
