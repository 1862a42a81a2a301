"""``checkpoint export CHECKPOINT --output FOLDER``: the student's weights as safetensors, for other programs."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from research.errors import UserError

HEADS = "heads.safetensors"


def main(arguments: list[str]) -> int:
    """Export the checkpoint named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.cli checkpoint export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="such as runs/NAME/checkpoints/last.ckpt")
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="a new folder")
    chosen = parser.parse_args(arguments)
    if chosen.output.exists():
        raise UserError(f"--output {chosen.output}: is there already")
    export(chosen.checkpoint, chosen.output)
    print(f"  written to {chosen.output}")
    return 0


def export(checkpoint: Path, folder: Path) -> None:
    """Write ``model.safetensors``, configuration and tokenizer, which Transformers and ``model.student.backbone`` read.

    LoRA's adapters are added to the weights. Heads of tasks go to ``heads.safetensors``: ``STREAM.weight``
    (outputs, H) and ``STREAM.bias`` (outputs,) over the pooled embedding (N, H), with the pooling and the labels of
    each stream, as JSON, in its metadata.
    """
    from safetensors.torch import save_file

    from research.checkpoints.writing import remove, unfinished
    from research.models.checkpoint import Trained

    trained = Trained(str(checkpoint), "checkpoint export")
    trained.restore()
    student: Any = trained.student
    if student.lora is not None:
        from research.models.lora import merge_lora

        merge_lora(student.model)
    heads = {f"{stream}.{name}": value for stream, head in student.heads.items()
             for name, value in head.linear.state_dict().items()}  # fmt: skip
    labels = {s: list(trained.streams[s].labels) if s in trained.streams else [] for s in student.heads}
    work = unfinished(folder)
    remove(work)
    try:
        work.mkdir(parents=True)
        student.model.save_pretrained(work)
        student.tokenizer.save_pretrained(work)
        if heads:
            save_file(heads, work / HEADS, {"pooling": student.pooling, "labels": json.dumps(labels)})
        os.replace(work, folder)
    except BaseException:
        remove(work)
        raise
