"""The other side of ``training.py``: a family's language modelling and a classifier in a ``transformers.Trainer``."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from clock import arguments
from datasets import Dataset
from hugging_face import WeightedTrainer, bbc_news, begin, mean_pooled, settings, train
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
)

from research.data.masking import corrupt_spans
from research.data.vocabulary import Vocabulary

AUTO = {"bert": AutoModelForMaskedLM, "gpt2": AutoModelForCausalLM, "t5": AutoModelForSeq2SeqLM}
WEIGHTS = {"ce": 1.0, "lm": 0.3}
BATCH, LENGTH = 16, 128
IGNORE = -100


def configuration(family: str, tokenizer: Any, **more: Any) -> Any:
    """The family's architecture as its YAML file has it."""
    file = yaml.safe_load((Path(__file__).parent / "training" / f"{family}.yaml").read_text())
    given = dict(file["model"]["student"]["architecture"])
    ids = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
           "pad_token_id": pad_id(tokenizer), "decoder_start_token_id": pad_id(tokenizer)}  # fmt: skip
    return AutoConfig.for_model(given.pop("model_type"), vocab_size=len(tokenizer), **given, **ids, **more)


def pad_id(tokenizer: Any) -> int:
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


class Classifying(nn.Module):
    """A language model, and a classifier on the mean of its token states."""

    def __init__(self, family: str, config: Any, topics: int) -> None:
        super().__init__()
        self.model = AUTO[family].from_config(config)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(config.hidden_size, topics))


class FamilyTrainer(WeightedTrainer):
    """Cross entropy of the topic, and the family's language modelling; a decoder needs one forward for both."""

    weights = WEIGHTS

    def __init__(self, *args: Any, family: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.family = family

    def losses(self, model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        ids, mask, lm = inputs["input_ids"], inputs["attention_mask"], model.model
        if self.family == "gpt2":
            out = lm(ids, attention_mask=mask, labels=inputs["labels"], output_hidden_states=True, use_cache=False)
            states = out.hidden_states[-1]
        elif self.family == "bert":
            out = lm(inputs["lm_ids"], attention_mask=inputs["lm_mask"], labels=inputs["labels"])
            states = lm.bert(ids, attention_mask=mask).last_hidden_state
        else:
            out = lm(inputs["lm_ids"], attention_mask=inputs["lm_mask"], labels=inputs["labels"], use_cache=False)
            states = lm.encoder(ids, attention_mask=mask).last_hidden_state
        logits = model.classifier(mean_pooled(states, mask))
        return {"ce": F.cross_entropy(logits, inputs["classes"]), "lm": out.loss}


def padded(rows: list[np.ndarray], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value)


class Collator:
    """Frames and pads the texts, and hides tokens or spans for the language modelling."""

    def __init__(self, family: str, tokenizer: Any) -> None:
        self.family, self.tokenizer, self.pad = family, tokenizer, pad_id(tokenizer)
        self.vocabulary, self.rng = Vocabulary.of(tokenizer), np.random.default_rng(0)
        self.masking = DataCollatorForLanguageModeling(tokenizer) if family == "bert" else None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        rows = [np.asarray(example["input_ids"]) for example in examples]
        begin = [self.vocabulary.begin] if self.family == "bert" else []
        framed = [np.concatenate([begin, row, [self.vocabulary.end]]).astype(np.int64) for row in rows]
        ids = padded(framed, self.pad)
        mask = padded([np.ones_like(row) for row in framed], 0)
        batch = {"input_ids": ids, "attention_mask": mask, "classes": torch.tensor([e["classes"] for e in examples])}
        if self.family == "gpt2":
            return {**batch, "labels": ids.masked_fill(mask == 0, IGNORE)}
        if self.masking is not None:
            masked, labels = self.masking.torch_mask_tokens(ids.clone())
            return {**batch, "lm_ids": masked, "lm_mask": mask, "labels": labels}
        pairs = [corrupt_spans(row, self.vocabulary, self.rng) for row in rows]
        sources, targets = (
            [np.append(part, self.vocabulary.end) for part in parts] for parts in zip(*pairs, strict=True)
        )
        source_mask = padded([np.ones_like(row) for row in sources], 0)
        return {**batch, "lm_ids": padded(sources, self.pad), "lm_mask": source_mask, "labels": padded(targets, IGNORE)}


def read(family: str, tokenizer: Any) -> tuple[Dataset, int]:
    """BBC News, cut so that it has ``LENGTH`` tokens when it is framed, and the number of its topics."""
    texts, classes, topics = bbc_news()
    room = LENGTH - (2 if family == "bert" else 1)
    ids = tokenizer(texts, truncation=True, max_length=room, add_special_tokens=False)["input_ids"]
    return Dataset.from_dict({"input_ids": ids, "length": [len(row) for row in ids], "classes": classes}), topics


def main() -> None:
    parser = arguments()
    parser.add_argument("--family", choices=AUTO, required=True)
    args = parser.parse_args()
    begin()
    tokenizer = AutoTokenizer.from_pretrained(args.work / "tokenizer")
    data, topics = read(args.family, tokenizer)
    trainer = FamilyTrainer(
        model=Classifying(args.family, configuration(args.family, tokenizer), topics),
        args=settings(args, BATCH, learning_rate=5e-4),
        train_dataset=data,
        data_collator=Collator(args.family, tokenizer),
        processing_class=tokenizer,
        family=args.family,
    )
    train(trainer, args)


if __name__ == "__main__":
    main()
