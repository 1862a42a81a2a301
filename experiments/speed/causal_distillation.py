"""Distillation of a decoder beside TRL's GKD trainer, in turn; writes results_causal_distillation.json and .md.

python experiments/speed/causal_distillation.py --steps 1 --warm-up 1 --repeats 5 --peer-python PATH
"""

import json
import sys
from pathlib import Path

import torch
from common import HERE
from hugging_face import bbc_news
from peer import Line, compare
from training import save_tokenizer
from training_peer import configuration
from transformers import AutoModelForCausalLM, AutoTokenizer


def prepare(work: Path) -> None:
    """Two small GPT-2s from random weights, of 3 layers and of 6, and the texts."""
    torch.manual_seed(0)
    save_tokenizer("gpt2", work / "student")
    save_tokenizer("gpt2", work / "teacher")
    tokenizer = AutoTokenizer.from_pretrained(work / "student")
    for name, layers in (("student", 3), ("teacher", 6)):
        config = configuration("gpt2", tokenizer)
        config.n_layer = layers
        AutoModelForCausalLM.from_config(config).save_pretrained(work / name)
    (work / "texts.json").write_text(json.dumps(bbc_news()[0]))


def ours(work: Path, common: Line) -> Line:
    models = ["--model.student.backbone", work / "student", "--model.teacher.init_args.backbone", work / "teacher"]
    config = ["--config", HERE / "causal_distillation.yaml"]
    return [sys.executable, HERE / "ours.py", *common, *config, *models]


def main() -> None:
    compare(
        "causal_distillation",
        __doc__,
        "TRL",
        prepare,
        ours,
        lambda work, common: [HERE / "causal_distillation_peer.py", *common],
        "GPT-2 of width 384 and random weights, 3 layers, from one of 6; KL from the teacher at each token; BBC News "
        "cut to 128 tokens, batch 16, float32.",
    )


if __name__ == "__main__":
    main()
