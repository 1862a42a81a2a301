"""A student in a folder of its own: weights, configuration and tokenizer, as ``load`` and ``export`` read them."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.averaging.command import KEPT
from research.checkpoints import LAST
from research.checkpoints.reading import load_checkpoint
from research.checkpoints.writing import write_checkpoint

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from research.models.student import Student

TOKENIZER = "tokenizer"  # the folder beside the checkpoint's
STAYS = ("pooling", "embedding_norm", "dropout")  # of the student's settings; others are done, or are about training
NEEDED = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
LEFT_OUT = ("model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "_name_or_path", "id2label",
            "label2id", "problem_type")  # fmt: skip


def write_folder(checkpoint: Path, student: "Student", compression: list[dict[str, Any]], folder: Path) -> None:
    """Write ``checkpoints/last.ckpt`` and ``tokenizer/`` into a folder.

    Args:
        checkpoint: the one that the student was loaded from, for what it knows of its run.
        student: as it is to be kept.
        compression: class paths and arguments of the methods that have made it what it is, as in a config.
        folder: is there, and empty.
    """
    from research.models.checkpoint import RUN

    kept = {name: value for name, value in load_checkpoint(checkpoint, key="--ckpt").items() if name in KEPT}
    run = copy.deepcopy(kept["hybrid"])
    given = settings_of(run["config"])
    model: Any = student.model
    run["config"]["model"]["student"] = {
        "architecture": architecture(model.config),
        "tokenizer": f"{RUN}/{TOKENIZER}",
        **{name: given[name] for name in STAYS if given.get(name) is not None},
        "compression": compression,
    }
    student.tokenizer.save_pretrained(str(folder / TOKENIZER))
    state = {f"student.{name}": value for name, value in student.state_dict().items()}
    write_checkpoint({**kept, "hybrid": run, "state_dict": state}, folder / "checkpoints" / LAST)


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of the student in a run's config."""
    given: dict[str, Any] = config["model"]["student"]
    return given.get("init_args", given)


def methods_of(checkpoint: Path) -> list[dict[str, Any]]:
    """What ``model.student.compression`` of a checkpoint's run lists."""
    config = load_checkpoint(checkpoint, key="--ckpt")["hybrid"]["config"]
    return settings_of(config).get("compression") or []


def architecture(config: "PretrainedConfig") -> dict[str, Any]:
    """The settings by which the same model is made anew, with random weights."""
    from transformers import AutoConfig

    usual = AutoConfig.for_model(config.model_type)
    settings = {
        name: value
        for name, value in config.to_dict().items()
        if name not in LEFT_OUT and hasattr(usual, name) and (name in NEEDED or getattr(usual, name) != value)
    }
    return {"model_type": config.model_type, **settings}


def size_of(folder: Path) -> int:
    """Bytes of the weights and the tokenizer of a folder."""
    files = [folder / "checkpoints" / LAST, *(folder / TOKENIZER).rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file())
