"""The other side of ``contrastive.py``: MultipleNegativesRankingLoss in Sentence Transformers' trainer."""

import json
from pathlib import Path
from typing import Any

import torch
from clock import Clock, arguments
from datasets import Dataset
from hugging_face import StepClock, begin, chosen
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

BATCH, LENGTH, SCALE = 16, 128, 20.0  # the inverse of the temperature


def model(folder: Path) -> SentenceTransformer:
    transformer = Transformer(str(folder), max_seq_length=LENGTH)
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")


class PairTrainer(SentenceTransformerTrainer):
    """Keeps what the clock asks; texts are their own positives (SimCSE)."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.real_tokens = int(inputs["anchor_attention_mask"].sum())
        out = super().compute_loss(model, inputs, *args, **kwargs)
        self.last_loss: torch.Tensor = (out[0] if isinstance(out, tuple) else out).detach()
        return out


def main() -> None:
    args = arguments().parse_args()
    begin()
    given = json.loads((args.work / "given.json").read_text())
    encoder = model(given["backbone"])
    trainer = PairTrainer(
        model=encoder,
        args=SentenceTransformerTrainingArguments(**chosen(args, BATCH)),
        train_dataset=Dataset.from_dict({"anchor": given["texts"], "positive": given["texts"]}),
        loss=MultipleNegativesRankingLoss(encoder, scale=SCALE),
    )
    trainer.add_callback(StepClock(trainer, Clock(args.warm_up, args.steps)))
    trainer.train()


if __name__ == "__main__":
    main()
