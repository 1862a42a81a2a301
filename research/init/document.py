"""The commented YAML of a choice."""

from typing import Any

import yaml

from research.init.choice import BATCH, Choice
from research.init.facts import Data


def document(chosen: Choice, task: Data | None, corpus: Data | None, command: str) -> str:
    """The text of a config that ``fit``, ``test`` and ``predict`` read."""
    weights = {one.name: one.weight for one in chosen.objectives}
    streams = [_stream("task", task, chosen), _stream("texts", corpus, chosen)]
    every = max(chosen.steps // 5, 1)
    return "\n".join(
        [
            f"# Written by: {command}",
            "# Each key can be changed here or on the command line, such as --trainer.max_steps 500.",
            "seed_everything: 1",
            "model:",
            f"  student:  # {chosen.family}: {chosen.why['student']}",
            f"    backbone: {flow(chosen.backbone)}",
            "  objectives:",
            *(line for one in chosen.objectives for line in (
                f"    {one.name}:  # {one.why}",
                f"      class_path: research.objectives.{one.kind}",
                f"      init_args: {flow({'stream': one.stream} | one.settings)}",
            )),
            "  weighting:  # of the sum of losses; a ramp {start, end} runs over the steps",
            "    class_path: research.weighting.Scheduled",
            f"    init_args: {flow({'weights': weights})}",
            "  optimisation:  # heads begin at random, so they learn faster",
            f"    lr: {flow(chosen.lr)}  # usual for a published {chosen.family}; ablate --search finds a better one",
            "    head_lr: 0.001",
            "    schedule:  # up for a tenth of the steps, then down to 0",
            "      class_path: research.schedules.Linear",
            "      init_args: {warmup: 0.1}",
            "data:",
            "  streams:",
            *(line for stream in streams for line in stream),
            "trainer:",
            f"  max_steps: {chosen.steps}  # {chosen.why['steps']}",
            f"  val_check_interval: {every}  # steps between two looks at the validation split",
            "  check_val_every_n_epoch: null",
            "",
        ]
    )  # fmt: skip


def _stream(name: str, data: Data | None, chosen: Choice) -> list[str]:
    if data is None:
        return []
    shares = [split for split, part in data.splits.items() if isinstance(part, float)]
    told = f"shares of {' and '.join(shares)} are set apart by a hash of each text" if shares else "files beside it"
    lines = [
        f"    {name}:  # {len(data.records):,} records; {told}",
        f"      class_path: research.data.{'TaskDataModule' if data.problem else 'CorpusDataModule'}",
        "      init_args:",
        *_source("source", data, data.settings),
    ]
    for split, part in data.splits.items():
        lines += _source(split, data, data.settings | {"paths": part}) if isinstance(part, str) else [
            f"        {split}: {part}"
        ]  # fmt: skip
    if data.split_seed:
        lines.append(f"        split_seed: {data.split_seed}  # under which each label is in training")
    if data.problem:
        lines.append(f"        problem: {data.problem}")
    if name == "task" and chosen.max_target_length:
        lines.append(f"        max_target_length: {chosen.max_target_length}  # tokens that are written")
    return [
        *lines,
        f"        batch_size: {BATCH}  # as in the experiments; fewer need less memory",
        f"        max_length: {chosen.lengths[name]}  # tokens; longer ones are {'cut' if data.problem else 'divided'}",
    ]


def _source(key: str, data: Data, settings: dict[str, Any]) -> list[str]:
    return [
        f"        {key}:",
        f"          class_path: research.data.sources.{data.kind}",
        f"          init_args: {flow(settings)}",
    ]


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=2**20, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
