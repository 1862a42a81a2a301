"""What a plan counts, against a real step of the same config: what the allocator gave out, and hand-made sums."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from research.models import CachedTeacher
from research.run import CHOSEN
from research.terminal import run_command
from research.training_cli import TrainingCLI

ROOT = Path(__file__).parents[2]
STEPS = 4  # all but the first, which makes the optimiser's state, are measured; the last batch of a pass is small
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("wordpiece", {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
                           "intermediate_size": 160, "max_position_embeddings": 128}),
    "gpt2": ("bpe", {"n_embd": 64, "n_layer": 3, "n_head": 2, "n_positions": 128}),
    "t5": ("unigram", {"d_model": 64, "d_kv": 32, "d_ff": 96, "num_layers": 2, "num_heads": 2}),
}  # fmt: skip
OBJECTIVES = {
    "bert": {
        "mlm": {"class_path": "research.objectives.MaskedLM"},
        "nce": {"class_path": "research.objectives.Contrastive"},
        "kd": {
            "class_path": "research.objectives.Distillation",
            "init_args": {"tokens": {"class_path": "research.data.masking.Masked"}},
        },
    },
    "gpt2": {"clm": {"class_path": "research.objectives.CausalLM"}},
    "distilled gpt2": {
        "clm": {"class_path": "research.objectives.CausalLM"},
        "kd": {
            "class_path": "research.objectives.Distillation",
            "init_args": {"tokens": {"class_path": "research.data.masking.NextToken"}},
        },
    },
    "t5": {"spans": {"class_path": "research.objectives.SpanCorruption"}},
}


class Measured(Callback):
    """The most bytes alive in a step: what is there before it, and what the allocator gives out in it."""

    total = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        module: Any = pl_module
        taught = [] if module.teacher is None else weights(module.teacher)
        states = [t for s in trainer.optimizers[0].state.values() for t in s.values()]
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        self.before = sum(t.numel() * t.element_size() for t in [*module.parameters(), *taught, *states, *gradients])
        self.allocations = importlib.import_module("counts").Allocations()
        self.watched = self.allocations.watched()
        self.watched.__enter__()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.watched.__exit__(None, None, None)
        if batch_idx:
            self.total = max(self.total, self.before + self.allocations.peak)


def weights(teacher: Any) -> list[Tensor]:
    cached = isinstance(teacher, CachedTeacher)
    return list(teacher._output.values()) if cached else list(teacher.student.parameters())


@pytest.fixture
def recipe(slices: Path, tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., Path]:
    """``recipe("bert")``: a config of a small model whose rows are full."""

    def recipe(kind: str, **settings: Any) -> Path:
        text = {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": str(slices / "wikitext.txt")}}
        objectives_of, kind = OBJECTIVES[kind], kind.removeprefix("distilled ")
        tokens, sizes = ARCHITECTURES[kind]
        student = {
            "architecture": {"model_type": kind, **sizes},
            "tokenizer": {"kind": tokens, "vocab_size": 700, "source": text},
        }
        objectives = {
            name: {**told, "init_args": {"stream": "text", **told.get("init_args", {})}}
            for name, told in objectives_of.items()
        }
        model: dict[str, Any] = {"student": student | settings, "objectives": objectives}
        if "kd" in objectives:
            other = tiny(kind, architecture={"vocab_size": 700, **sizes})
            other.float().model.save_pretrained(tmp_path / "teacher")
            other.tokenizer.save_pretrained(tmp_path / "teacher")
            told = {"class_path": "research.models.LiveTeacher", "init_args": {"backbone": str(tmp_path / "teacher")}}
            model["teacher"] = told
        given = {"source": text, "validation": 0.0, "batch_size": 16, "max_length": 64, "pack": "stream"}
        streams = {"text": {"class_path": "research.data.CorpusDataModule", "init_args": given}}
        config = {
            "model": model,
            "data": {"streams": streams, "cache": str(tmp_path / "tokens")},
            "trainer": {"max_steps": STEPS, "accelerator": "cpu", "limit_val_batches": 0, "enable_progress_bar": False},
            "run": {"wandb": "disabled", "folder": str(tmp_path / "runs")},
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(config))
        return tmp_path / "recipe.yaml"

    return recipe


def measured(path: Path) -> int:
    """Bytes of a step of a fit."""
    counted = Measured()

    class MeasuredCLI(TrainingCLI):
        def instantiate_trainer(self, **kwargs: Any) -> Trainer:
            trainer = super().instantiate_trainer(**kwargs)
            trainer.callbacks.append(counted)  # type: ignore[attr-defined]
            return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(CHOSEN, raising=False)
        patch.syspath_prepend(str(ROOT / "experiments" / "speed"))
        MeasuredCLI(["fit", "--config", str(path)])
    return counted.total


def planned(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What the command prints."""
    assert run_command(["plan", "--config", str(path), "--json", "--device-flops", "1T", *more]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("bert", {}), ("gpt2", {}), ("t5", {}), ("gpt2", {"gradient_checkpointing": True}), ("bert", {"chunk": 16})],
)
def test_memory_is_that_of_a_real_step(
    kind: str, settings: dict[str, Any], recipe: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(kind, **settings)
    plan, real = planned(path, capsys), measured(path)
    assert plan["strategies"]["one"]["total"] == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("k", [None, 8])
def test_a_cached_teacher_is_read_as_its_cache_is(
    k: int | None, recipe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = recipe("distilled gpt2"), tmp_path / "cache"
    live = planned(path, capsys)
    config = yaml.safe_load(path.read_text())
    told = {"path": str(folder), "teacher": config["model"]["teacher"]}
    config["model"]["teacher"] = {"class_path": "research.models.CachedTeacher", "init_args": told}
    path.write_text(yaml.safe_dump(config))
    more = [] if k is None else ["--k", str(k)]
    before = planned(path, capsys, *more)
    assert not folder.exists()
    assert run_command(["teacher", "cache", "--config", str(path), *more]) == 0
    capsys.readouterr()
    plan = planned(path, capsys)  # the cache says by itself what it keeps
    assert {name: plan[name] for name in ("teacher", "flops", "strategies")} == {
        name: before[name] for name in ("teacher", "flops", "strategies")
    }

    (written,) = folder.glob("*/*.arrow")
    rows = pa.ipc.open_file(written).get_batch(0).drop_columns(["key"])
    of_each = sum(np.diff(column.offsets) * (column.type.value_type.bit_width // 8) for column in rows)
    assert plan["teacher"]["read_per_token"] * plan["tokens"] == 16 * of_each.max() > 0

    output, positions = 700 * 64, plan["tokens"] - 16  # the first token of a row is not predicted
    assert plan["teacher"]["parameters"] == (output if k is None else 0)
    forward = round(live["teacher"]["share_of_flops"] * live["flops"])
    assert plan["flops"] == live["flops"] - forward - (0 if k is None else 2 * positions * output)
    assert plan["strategies"]["one"]["total"] == pytest.approx(measured(path), rel=0.1)


def test_flops_are_those_of_the_formulas(
    recipe: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "performance"))
    of = importlib.import_module("formulas")
    plan = planned(recipe("gpt2"), capsys)
    rows, length = 16, plan["tokens"] // 16
    assert plan["flops"] == of.gpt2(rows, length, 64, 3) + of.vocabulary(rows * (length - 1), 64, 700, transform=False)


def test_a_model_that_is_not_here_is_planned_for_a_gpu(
    recipe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither its texts nor its weights are there; nothing is written."""
    path = recipe("bert")
    config = yaml.safe_load(path.read_text())
    config["data"]["streams"]["text"]["init_args"]["source"]["init_args"]["paths"] = "not/there.txt"
    del config["model"]["student"]["tokenizer"]["source"]
    config["model"]["student"]["tokenizer"] = str(tmp_path / "teacher")
    config["trainer"]["precision"] = "bf16-mixed"
    (tmp_path / "teacher" / "model.safetensors").unlink()
    path.write_text(yaml.safe_dump(config))
    before = set(tmp_path.rglob("*"))
    command = ["plan", "--config", str(path), "--devices", "16", "--device", "h100", "--price", "3"]
    assert run_command(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert set(tmp_path.rglob("*")) == before
    assert max(map(len, lines)) <= 80
    assert "".join(lines[5].split()) == "GBof16devicesoneDDPFSDPZeRO1ZeRO2ZeRO3offload"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--device", "h1000"), "--device is h1000; there is a100-40"),
        (("--devices", "0"), "--devices is 0"),
        (("--devices", "64"), "batch_size is 16, of all devices together; --devices is 64"),
        (("--mfu", "40"), "--mfu is 40"),
        (("--device-memory", "much"), "--device-memory is much"),
        (("--model.student.keep_layers", "[7]"), "keep_layers"),
    ],
)
def test_bad_input_is_one_line(
    option: tuple[str, ...], told: str, recipe: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["plan", "--config", str(recipe("gpt2")), *option]) == 2
    error = capsys.readouterr().err.strip()
    assert told in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("error: ")
