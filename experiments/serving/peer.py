"""The peer: a plain ``pipeline("text-classification")`` behind FastAPI, with the weights of a student of ours.

PEER_CKPT=runs/served uvicorn peer:app --workers 2
"""

import os
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import BertConfig, BertForSequenceClassification, pipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from research.inference import load


class MeanPooled(BertForSequenceClassification):
    """BERT with the head on the mean of the token states, as the student has it, in place of BERT's pooler."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert.pooler = None

    def forward(self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, **_: Any) -> Any:
        states = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        return SequenceClassifierOutput(logits=self.classifier((states * mask).sum(1) / mask.sum(1)))


def same_weights(ckpt: str) -> Any:
    """A pipeline that answers as the student of a checkpoint does."""
    ours = load(ckpt)
    name = ours.task(None, "classify")
    labels = ours.tasks[name].labels
    config: Any = ours.student.config
    config.num_labels, config.id2label = len(labels), dict(enumerate(labels))
    peer = MeanPooled(config).eval()
    found = peer.bert.load_state_dict(ours.student.model.base_model.state_dict(), strict=False)
    if found.missing_keys:
        raise SystemExit(f"the peer has weights that the student has not: {found.missing_keys}")
    peer.classifier.load_state_dict(ours.student.heads[name].linear.state_dict())
    return pipeline("text-classification", model=peer, tokenizer=ours.student.tokenizer, device="cpu")


class Question(BaseModel):
    text: str


app = FastAPI()
torch.set_num_threads(int(os.environ.get("PEER_THREADS", "1")))
answer = same_weights(os.environ["PEER_CKPT"])
LENGTH = 64  # as the student was trained


@app.post("/predict")
async def predict(question: Question) -> dict[str, Any]:
    """The likeliest label. A process answers one at a time: the pipeline does not say that it may be shared."""
    said: dict[str, Any] = answer(question.text, truncation=True, max_length=LENGTH)[0]
    return said


@app.get("/health")
def health() -> str:
    return "ok"
