"""``model.gguf`` in float32, which llama.cpp runs and quantises: GPT-2's language model, or BERT's embedding."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.errors import UserError
from research.inference.export.given import Given, Use, agreement
from research.inference.export.plain import plain
from research.inference.export.tokenizer import framing

FORMAT = "gguf"
SPACE = "\u2581"  # what llama.cpp's WordPiece has before a word, where BERT marks what goes on with one
TURNED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # GPT-2 has (in, out)
CODE = {
    "gpt2": 'llama-completion -m FOLDER/model.gguf -p "a text"',
    "bert": 'llama-embedding -m FOLDER/model.gguf -p "a text" --embd-normalize -1',
}


def write(given: Given, folder: Path) -> Use:
    """The file, read back and compared weight by weight."""
    try:
        import gguf
    except ImportError:
        raise UserError("--format gguf needs the extra: pip install 'hybrid-fine-tuning[gguf]'") from None
    model: Any = plain(given.student)
    kind, student = model.config.model_type, given.student
    fill = {"gpt2": _gpt2, "bert": _bert}.get(kind)
    if fill is None or given.task is not None:
        what = f"a head, as of {given.task}" if fill else kind
        raise UserError(f"--format gguf: it holds GPT-2's language model or BERT's embedding, not {what}; use onnx")
    path, tokenizer = folder / "model.gguf", framing(student, given.max_length)
    writer = gguf.GGUFWriter(path, kind)
    fill(writer, gguf, given, model.config, tokenizer)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, kind.upper()), model.config.num_hidden_layers)
    tensors = _tensors(model, names)
    for name, value in tensors.items():
        writer.add_tensor(name, value)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    if read.keys() != tensors.keys():
        raise UserError(f"--format gguf: {path.name} does not hold the student's weights; not written")
    ours, theirs = (np.concatenate([each[name].ravel() for name in tensors]) for each in (tensors, read))
    return Use("gguf", None, CODE[kind], agreement(FORMAT, "weights", ours, theirs, 0.0))


def _tensors(model: Any, names: Any) -> dict[str, np.ndarray]:
    """The weights by llama.cpp's names; of BERT those of its encoder, of GPT-2 also the output where it is not tied."""
    found = dict[str, np.ndarray]()
    for name, value in model.base_model.state_dict().items():
        if name.endswith(TURNED):
            value = value.T
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert known is not None, name
        found[known] = value.to(torch.float32).contiguous().numpy()
    if model.config.model_type == "gpt2" and not model.config.tie_word_embeddings:
        found["output.weight"] = model.lm_head.weight.detach().float().numpy()
    return found


def _common(writer: Any, config: Any, tokenizer: Any) -> list[str]:
    """What both kinds say of themselves; returns the tokens by id."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    return [str(token) for token in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]


def _token_types(gguf: Any, tokenizer: Any, count: int) -> list[int]:
    special = set(tokenizer.all_special_ids)
    return [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(count)]


def _gpt2(writer: Any, gguf: Any, given: Given, config: Any, tokenizer: Any) -> None:
    tokens = _common(writer, config, tokenizer)
    writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(_token_types(gguf, tokenizer, len(tokens)))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    end = given.student.vocabulary.end
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)


def _bert(writer: Any, gguf: Any, given: Given, config: Any, tokenizer: Any) -> None:
    pooling = {"mean": gguf.PoolingType.MEAN, "first": gguf.PoolingType.CLS, "last": gguf.PoolingType.LAST}
    if given.student.pooling not in pooling or given.student.embedding_norm is not None:
        raise UserError("--format gguf: it pools by mean, first or last, without a norm behind it; use --format onnx")
    vocabulary = given.student.vocabulary
    tokens = _common(writer, config, tokenizer)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling[given.student.pooling])
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_token_list([_wordpiece(token, i in tokenizer.all_special_ids) for i, token in enumerate(tokens)])
    writer.add_token_types(_token_types(gguf, tokenizer, len(tokens)))
    writer.add_bos_token_id(vocabulary.begin)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_sep_token_id(vocabulary.end)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_mask_token_id(vocabulary.mask)
    writer.add_unk_token_id(tokenizer.unk_token_id)


def _wordpiece(token: str, special: bool) -> str:
    if special:
        return token
    return token.removeprefix("##") if token.startswith("##") else SPACE + token
