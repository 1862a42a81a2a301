"""What ``plan`` prints: a table of at most 80 columns, or the same figures as data."""

import math
from collections.abc import Mapping
from textwrap import fill
from typing import Any

from research.planning.pace import Pace
from research.planning.quantity import duration, shown
from research.planning.strategies import PARTS, STRATEGIES, Step

USABLE = 0.9  # of a device's memory; the rest is the allocator's, the kernels' and the system's
ALONE = "one"  # the strategy of a single process
COLUMNS, LABEL, CELL = 80, 17, 9


def as_data(step: Step, taller: Step, batch: Mapping[str, int], pace: Pace, memory: float) -> dict[str, Any]:
    """All figures of a plan, in bytes and seconds.

    Args:
        step: of a device's part of the batch.
        taller: of twice as many rows.
        batch: ``batch_size`` of each stream, of all devices together.
        pace: of the run.
        memory: bytes of a device.
    """
    counts = step.whole
    return {
        "devices": pace.devices,
        "device": {"memory": memory, "flops": pace.flops, "mfu": pace.mfu},
        "student": {"parameters": counts.parameters, "trained": counts.trainable},
        "teacher": {
            "parameters": counts.teacher,
            "share_of_flops": counts.teachers / counts.flops,
            "read_per_token": counts.read / counts.tokens,
            "cache": pace.cache,
        },
        "batch_size": dict(batch),
        "tokens": counts.tokens,
        "flops": counts.flops,
        "strategies": {name: _strategy(name, step, taller, batch, memory) for name in STRATEGIES},
        "step_seconds": pace.step,
        "tokens_per_second": pace.tokens_per_second,
        "run": {
            "steps": pace.steps,
            "tokens": pace.steps and pace.steps * pace.batches * pace.devices * counts.tokens,
            "seconds": pace.seconds,
            "device_hours": pace.hours,
            "cost": pace.cost,
            "kilowatt_hours": pace.energy,
        },
        "loader": {
            "workers": pace.loader_workers,
            "read_per_second": pace.read,
            "answers_per_second": pace.answers,
            "fed_per_second": pace.fed,
            "bytes_per_token": counts.batch / counts.tokens,
        },
        "checkpoint": {"bytes": pace.checkpoint, "seconds": pace.writing},
    }


def _strategy(name: str, step: Step, taller: Step, batch: Mapping[str, int], memory: float) -> dict[str, Any]:
    """Memory grows evenly with the rows of a device: its part of the batch, or, of one process, all of it."""
    strategy, devices = STRATEGIES[name], 1 if name == ALONE else step.devices
    least, more = strategy.memory(step), strategy.memory(taller)
    mine = {part: along(getattr(least, part), getattr(more, part), step.devices / devices) for part in PARTS}
    total, usable = sum(mine.values()), USABLE * memory
    parts = 1 + (usable - least.total) / max(more.total - least.total, 1)  # times a device's rows that fit
    return {
        **mine,
        "total": total,
        "host": least.host,
        "fits": total <= usable,
        "largest_batch_size": {
            stream: max(math.floor(parts * size / step.devices), 0) * devices for stream, size in batch.items()
        },
        "sent": strategy.sent(step),
    }


def along(one: float, two: float, times: float) -> float:
    """What is ``one`` and ``two`` for one and two, for so many times."""
    return one + (times - 1) * (two - one)


def as_text(plan: Mapping[str, Any]) -> str:
    """The figures of :func:`as_data` as lines of at most 80 columns."""
    run, loader, checkpoint, device = plan["run"], plan["loader"], plan["checkpoint"], plan["device"]
    student, teacher, strategies = plan["student"], plan["teacher"], plan["strategies"]
    batch = ", ".join(f"{stream} {size}" for stream, size in plan["batch_size"].items())
    lines = [
        f"student          {shown(student['parameters'])} parameters, {shown(student['trained'])} of them trained",
        f"teacher          {shown(teacher['parameters'])} parameters, {teacher['share_of_flops']:.0%} of the FLOPs",
        *_answers(teacher),
        fill(f"batch_size       {batch}", COLUMNS, subsequent_indent=" " * LABEL),
        f"a device's part  {plan['tokens']:,} tokens, {shown(plan['flops'], 'FLOPs')} a step",
        "",
        _row(f"GB of {plan['devices']} devices" if plan["devices"] > 1 else "GB", list(strategies)),
        *(_row(part, [_gigabytes(s[part]) for s in strategies.values()]) for part in (*PARTS, "total")),
        _row(f"fits {shown(device['memory'], 'B')}", ["yes" if s["fits"] else "no" for s in strategies.values()]),
        _row("main memory", [_gigabytes(s["host"]) for s in strategies.values()]),
        _row("sent a step", [_gigabytes(s["sent"]) for s in strategies.values()]),
        "largest batch_size",
        *(
            _row(f"  {stream}"[:LABEL], [f"{s['largest_batch_size'][stream]:,}" for s in strategies.values()])
            for stream in plan["batch_size"]
        ),
        "",
        f"speed            {shown(plan['tokens_per_second'], 'tokens')}/s, {duration(plan['step_seconds'])} a step,"
        f" at {device['mfu']:.0%} of {shown(device['flops'], 'FLOP/s')}",
    ]
    if run["steps"] is None:
        lines.append("run              set trainer.max_steps to see its time and cost")
    else:
        lines.append(f"run              {run['steps']:,} steps, {shown(run['tokens'], 'tokens')}: {_run(run)}")
    return "\n".join(
        [
            *lines,
            f"loader           {loader['workers']} workers a device; {loader['bytes_per_token']:.3g} bytes a token",
            f"                 {shown(loader['fed_per_second'], 'B/s')} to a device,"
            f" {shown(loader['read_per_second'], 'B/s')} read from storage",
            f"checkpoint       {shown(checkpoint['bytes'], 'B')}, written in {duration(checkpoint['seconds'])}",
        ]
    )


def _answers(teacher: Mapping[str, Any]) -> list[str]:
    if not teacher["read_per_token"]:
        return []
    most = "" if teacher["cache"] is None else f", at most {shown(teacher['cache'], 'B')} in all"
    return [f"cached answers   {shown(teacher['read_per_token'], 'B')} a token{most}"]


def _run(run: Mapping[str, Any]) -> str:
    parts = [duration(run["seconds"])]
    if run["cost"] is not None:
        parts.append(f"cost {run['cost']:,.2f}")
    if run["kilowatt_hours"] is not None:
        parts.append(f"{run['kilowatt_hours']:,.3g} kWh")
    return ", ".join(parts)


def _row(label: str, cells: list[str]) -> str:
    return label.ljust(LABEL) + "".join(cell.rjust(CELL) for cell in cells)


def _gigabytes(size: float) -> str:
    return "-" if size < 5e5 else f"{size / 1e9:.3g}" if size < 1e12 else f"{size / 1e9:,.0f}"
