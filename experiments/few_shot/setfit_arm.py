"""SetFit (Tunstall et al. 2022, arXiv:2209.11055) as its package has it: question.json of a folder to answer.json.

Runs in an interpreter of its own, which needs setfit alone.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from datasets import Dataset
from scipy.stats import spearmanr
from setfit import SetFitModel, Trainer, TrainingArguments

PAIRS = 1600  # contrastive pairs at most, in batches of 16


def main() -> None:
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "question.json").read_text())
    names = sorted({label for _, label in asked["train"]})
    train = Dataset.from_dict(
        {"text": [t for t, _ in asked["train"]], "label": [names.index(y) for _, y in asked["train"]]}
    )
    model = SetFitModel.from_pretrained(asked["backbone"])
    model.model_body.max_seq_length = asked["max_length"]
    arguments = TrainingArguments(
        output_dir=str(folder / "work"), batch_size=16, num_epochs=1, max_steps=PAIRS // 16, seed=asked["seed"],
        save_strategy="no", report_to="none", show_progress_bar=False,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=train).train()
    labels = [names[int(i)] for i in model.predict(asked["test"])]
    with open(asked["pairs"], newline="") as file:
        rows = [r for r in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if len(r) >= 7]
    first, second = (model.model_body.encode([r[i] for r in rows], normalize_embeddings=True) for i in (5, 6))
    sts = spearmanr(np.sum(first * second, axis=1), [float(r[4]) for r in rows]).statistic
    (folder / "answer.json").write_text(json.dumps({"labels": labels, "sts": float(sts)}))


if __name__ == "__main__":
    main()
