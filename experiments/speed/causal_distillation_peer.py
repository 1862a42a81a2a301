"""The other side of ``causal_distillation.py``: TRL's GKD trainer, on given texts and never on the student's own."""

import json
from typing import Any

import torch
from clock import Clock, arguments
from datasets import Dataset
from hugging_face import StepClock, begin, chosen
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.gkd import GKDConfig, GKDTrainer

BATCH, LENGTH = 16, 128


class TimedTrainer(GKDTrainer):  # type: ignore[misc]
    """Keeps what the clock asks."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.real_tokens = int(inputs["attention_mask"].sum())
        out = super().compute_loss(model, inputs, *args, **kwargs)
        self.last_loss: torch.Tensor = (out[0] if isinstance(out, tuple) else out).detach()
        return out


class Collator:
    """Pads, and asks for each token but the first."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [torch.tensor(example["input_ids"]) for example in examples]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.pad)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        labels = ids.masked_fill(mask == 0, -100)
        labels[:, 0] = -100  # or the trainer would count it among those that carry a loss
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def main() -> None:
    args = arguments().parse_args()
    begin()
    texts = json.loads((args.work / "texts.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(args.work / "student")
    tokenizer.pad_token = tokenizer.eos_token
    ids = tokenizer(texts, truncation=True, max_length=LENGTH - 1, add_special_tokens=False)["input_ids"]
    rows = [[*row, tokenizer.eos_token_id] for row in ids]
    student, teacher = (AutoModelForCausalLM.from_pretrained(args.work / name) for name in ("student", "teacher"))
    trainer = TimedTrainer(
        model=student,
        teacher_model=teacher.requires_grad_(False),
        args=GKDConfig(
            **chosen(args, BATCH, learning_rate=5e-4),
            train_sampling_strategy="group_by_length",
            gradient_checkpointing=False,
            disable_dropout=False,
            lmbda=0.0,
            beta=0.0,
        ),
        train_dataset=Dataset.from_dict({"input_ids": rows, "length": [len(row) for row in rows]}),
        data_collator=Collator(tokenizer.eos_token_id),
        processing_class=tokenizer,
    )
    trainer.add_callback(StepClock(trainer, Clock(args.warm_up, args.steps)))
    trainer.train()


if __name__ == "__main__":
    main()
