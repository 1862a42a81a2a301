"""What a preparation did: how many documents each step read, dropped and kept, with examples of what it dropped."""

import json
import textwrap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from research.data.prepare.folder import Folder
from research.data.sources.files import open_bytes
from research.errors import UserError
from research.files import write_whole

EXAMPLES, LONGEST, SEARCHED = 3, 200, 1000  # of a step; characters of one; dropped documents looked at
Counts = dict[str, int]


def account(folder: Folder, stages: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """The report as plain data.

    `stages` are names of stages with the labels of their steps. Raises `UserError` if a step did not see as many
    documents as the one before kept, which means that files are missing.
    """
    steps = list(_steps(folder, stages))
    first = steps[0][2]
    report: dict[str, Any] = {
        "read": first.get("total", 0),
        "read from": _with_prefix(first, "from_"),
        "blank": first.get("blank", 0),
        "warnings": first.get("warnings", 0),
        "characters read": first.get("doc_len", 0),
        "steps": [],
    }
    documents = report["read"]
    for stage, label, counts in steps[1:]:
        if "dropped" in counts or "forwarded" in counts:
            read, dropped = counts["total"], counts.get("dropped", 0)
            row = {"step": label, "read": read, "dropped": dropped, "kept": read - dropped}
            more = {"reasons": _with_prefix(counts, "dropped_"), "examples": list(_examples(folder.dropped / label))}
            report["steps"].append(row | more)
        elif masked := _with_prefix(counts, "masked_"):
            report["masked"] = masked
        passed = counts.get("total", documents)
        if passed != documents:
            told = f"{folder.path}: {stage} was handed {documents} documents and saw {passed}"
            raise UserError(f"{told}; remove the folder and prepare anew")
        documents = report["steps"][-1]["kept"] if report["steps"] else documents
    return report | {"kept": documents, "characters kept": steps[-1][2].get("doc_len", 0)}


def write(folder: Folder, report: dict[str, Any]) -> None:
    """Write `report.md`, then `report.json`, whose presence says that the folder is complete."""
    write_whole(folder.path / "report.md", "\n".join(_markdown(report)))
    write_whole(folder.report, json.dumps(report, indent=2, ensure_ascii=False))


def table(report: dict[str, Any]) -> str:
    """The counts in at most 80 columns."""
    lines = [f"{'step':<32}{'read':>12}{'dropped':>12}{'kept':>12}{'dropped %':>12}", "-" * 80]
    for row in report["steps"]:
        share = 100 * row["dropped"] / max(row["read"], 1)
        lines.append(f"{row['step'][:31]:<32}{row['read']:>12,}{row['dropped']:>12,}{row['kept']:>12,}{share:>12.1f}")
        most = sorted(row["reasons"].items(), key=lambda reason: -reason[1])[:5]
        lines += [f"  {reason[:29]:<42}{count:>12,}" for reason, count in most]
    share = 100 * (report["read"] - report["kept"]) / max(report["read"], 1)
    total = f"{report['read']:>12,}{report['read'] - report['kept']:>12,}{report['kept']:>12,}{share:>12.1f}"
    lines += ["-" * 80, f"{'all':<32}{total}", ""]
    more = ["read: " + ", ".join(f"{count:,} {name}" for name, count in report["read from"].items())]
    if "masked" in report:
        more.append("masked: " + ", ".join(f"{count:,} {kind}" for kind, count in report["masked"].items()))
    if report["blank"] or report["warnings"]:
        more.append(f"left out: {report['blank']:,} blank; warnings of sources, in logs/: {report['warnings']:,}")
    more.append(f"characters: {report['characters read']:,} read, {report['characters kept']:,} kept")
    return "\n".join(lines + [textwrap.fill(line, 80) for line in more])


def _steps(folder: Folder, stages: list[tuple[str, list[str]]]) -> Iterator[tuple[str, str, Counts]]:
    """Stage, label and counts, summed over its tasks, of every step."""
    for stage, labels in stages:
        totals: list[Counts] = [{} for _ in labels]
        for path in (folder.logs / stage / "stats").glob("*.json"):
            for total, step in zip(totals, json.loads(path.read_text(encoding="utf-8")), strict=True):
                for name, value in step["stats"].items():
                    count = value["total"] if isinstance(value, dict) else value
                    total[name] = total.get(name, 0) + int(count)
        for label, total in zip(labels, totals, strict=True):
            yield stage, label, total


def _with_prefix(counts: Counts, prefix: str) -> Counts:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}


def _examples(folder: Path) -> Iterator[dict[str, str]]:
    """A few of the documents in a folder, of different reasons where there are."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("*.jsonl.zst")):
        with open_bytes(path) as lines:
            for line in islice(lines, SEARCHED):
                row = json.loads(line)
                reason = row["metadata"].get("filter_reason", "")
                text = " ".join(row["text"].split())
                shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
                # of a reason the first; without reasons the first few
                found.setdefault(reason or str(len(found)), {"id": row["id"], "reason": reason, "text": shown})
                if len(found) == EXAMPLES:
                    yield from found.values()
                    return
    yield from found.values()


def _markdown(report: dict[str, Any]) -> Iterator[str]:
    yield from ("# What was kept, and what was dropped", "", "```", table(report), "```", "")
    for row in report["steps"]:
        if row["examples"]:
            yield from (f"## Dropped by {row['step']}, for example", "")
            for example in row["examples"]:
                reason = f" ({example['reason']})" if example["reason"] else ""
                yield f"- `{example['id']}`{reason}: {example['text']}"
            yield ""
