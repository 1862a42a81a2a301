"""SetFit (Tunstall et al. 2022, arXiv:2209.11055) as its package has it: question.json of a folder to answer.npz.

Runs in an interpreter of its own, which needs setfit alone.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-not-found]


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
        output_dir=str(folder / "work"), batch_size=asked["batch_size"], num_epochs=1, seed=asked["seed"],
        max_steps=asked["pairs"] // asked["batch_size"], save_strategy="no", report_to="none", show_progress_bar=False,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=train).train()
    out = {}
    for name, texts in asked["texts"].items():
        embeddings = model.encode(texts, show_progress_bar=False)
        out[f"{name}/embeddings"] = np.asarray(embeddings)
        out[f"{name}/logits"] = model.model_head.decision_function(np.asarray(embeddings))
    torch.set_num_threads(1)
    warm_up, seconds = asked["timed"][:10], []
    for text in warm_up + asked["timed"]:
        start = time.perf_counter()
        model.predict_proba([text])
        seconds.append(time.perf_counter() - start)
    np.savez(folder / "answer.npz", **{**out, "latency": np.array(seconds[len(warm_up) :])})  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
