"""Recipes of the repository, small: their objectives and streams as they are, over other models and texts."""

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning import Callback, LightningModule, Trainer

from research.data.batch import Batch
from research.run import CHOSEN
from research.training_cli import TrainingCLI

ROOT = Path(__file__).parents[2]
FLOPS, MEMORY, STEPS = 1, 2, 3  # the steps whose FLOPs and bytes are counted; the first makes the optimiser's state
SMALL: dict[str, tuple[str, dict[str, Any]]] = {  # the kind of tokenizer, the settings of the architecture
    "bert": ("wordpiece", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                           "intermediate_size": 80, "max_position_embeddings": 256}),
    "gpt2": ("bpe", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
    "t5": ("unigram", {"d_model": 32, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2,
                       "dropout_rate": 0.1}),
}  # fmt: skip
VOCABULARY = 700
OWN = ("problem", "batch_size", "max_length", "pack")  # settings of a stream that stay


@dataclass
class Forward:
    """One call of a backbone."""

    shape: tuple[int, ...]  # of its hidden states
    graph: bool  # whether autograd can go back from it


@dataclass
class Counted(Callback):
    """What the steps of a run came to."""

    module: Any = None
    student: list[list[Forward]] = field(default_factory=list)
    teacher: list[list[Forward]] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    batches: list[dict[str, Batch]] = field(default_factory=list)
    flops: int = 0
    peak: int = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.module = pl_module
        watch(self.module.student, self.student)
        if self.module.teacher is not None:
            watch(self.module.teacher.student, self.teacher)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        for per_step, nothing in ((self.student, []), (self.teacher, []), (self.updates, 0), (self.batches, batch)):
            per_step.append(nothing)  # type: ignore[attr-defined]
        counts = importlib.import_module("counts")
        self.open, self.counter, self.allocations = ExitStack(), counts.flop_counter(), counts.Allocations()
        if batch_idx in (FLOPS, MEMORY):
            self.open.enter_context(self.counter if batch_idx == FLOPS else self.allocations.watched())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.updates[-1] += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.open.close()
        self.flops += self.counter.get_total_flops()
        self.peak = max(self.peak, self.allocations.peak)


def watch(student: Any, calls: list[list[Forward]]) -> None:
    """Note each forward of a backbone, T5's by its encoder and its decoder, under the last step."""

    def note(module: Any, given: Any, out: Any) -> None:
        states = out.last_hidden_state
        calls[-1].append(Forward(tuple(states.shape), states.requires_grad))

    model = student.model
    for stack in [model.encoder, model.decoder] if student.config.model_type == "t5" else [model.base_model]:
        stack.register_forward_hook(note)


@pytest.fixture(scope="session")
def counting(
    slices: Path, tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Any]
) -> Callable[..., Counted]:
    """``counting("configs/bert.yaml", "bert")``: three steps of a recipe whose models are small, its texts ours."""
    text = {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": str(slices / "wikitext.txt")}}

    def csv(path: str, **columns: str) -> dict[str, Any]:
        return {"class_path": "research.data.sources.CSV", "init_args": {"paths": str(slices / path), **columns}}

    def source(stream: dict[str, Any]) -> dict[str, Any]:
        if "CorpusDataModule" in stream["class_path"]:
            return text
        if stream["init_args"].get("problem") == "generate":
            return csv("e2e.csv", text="mr", target="ref")
        return csv("banking77/train.csv", text="text", label="category")

    def counting(recipe: str, kind: str, vocabulary: int = VOCABULARY, **settings: int) -> Counted:
        work, counted = tmp_path_factory.mktemp(kind), Counted()
        tokenizer, sizes = SMALL[kind]
        tokens = {"kind": tokenizer, "vocab_size": VOCABULARY, "source": text}
        architecture = {"model_type": kind, "vocab_size": vocabulary, **sizes}
        config = yaml.safe_load((ROOT / recipe).read_text())
        model = config["model"]
        model["student"] = {"architecture": architecture, "tokenizer": tokens,
                            **{k: v for k, v in model["student"].items() if k == "pooling"}}  # fmt: skip
        if "teacher" in model:
            other = tiny(kind, architecture={"vocab_size": vocabulary, **sizes})
            other.float().model.save_pretrained(work / "teacher")
            other.tokenizer.save_pretrained(work / "teacher")
            model["teacher"]["init_args"] = {"backbone": str(work / "teacher")}
        for stream in config["data"]["streams"].values():
            own = {name: value for name, value in stream["init_args"].items() if name in OWN}
            stream["init_args"] = {**own, "source": source(stream), "validation": 0.0, **settings}
        config["trainer"] = {"max_steps": STEPS, "accelerator": "cpu", "limit_val_batches": 0,
                             "enable_progress_bar": False}  # fmt: skip
        config["run"] = {"wandb": "disabled", "folder": str(work / "runs")}
        config["data"]["cache"] = str(work / "tokens")
        (work / "recipe.yaml").write_text(yaml.safe_dump(config))

        class CountedCLI(TrainingCLI):
            def instantiate_trainer(self, **kwargs: Any) -> Trainer:
                trainer = super().instantiate_trainer(**kwargs)
                trainer.callbacks.append(counted)  # type: ignore[attr-defined]
                return trainer

        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(CHOSEN, raising=False)
            patch.syspath_prepend(str(ROOT / "experiments" / "speed"))
            CountedCLI(["fit", "--config", str(work / "recipe.yaml")])
        return counted

    return counting
