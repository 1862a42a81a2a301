"""What someone set in config files and on the command line, with the place of each key."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from research.errors import UserError


@dataclass(frozen=True)
class Setting:
    """A dotted key, its value as text (empty for mappings and lists), and ``file:line: `` if from a file."""

    key: str
    value: str
    where: str = ""


def settings_of(arguments: list[str]) -> Iterator[Setting]:
    """All that config files and options set, in their order.

    Raises:
        UserError: for a config file that is missing or no YAML, a key that is given twice in one mapping, of which
            YAML's readers take the last without a word, a number that is not finite, of which no setting has a use,
            and a tag that stands for an object of Python.
    """
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.lstrip("-").partition("=")
        value = value if equals else following
        if argument.startswith("-") and name in ("c", "config") and value and not value.startswith(("{", "-")):
            yield from _flat(_read(value), "", value, 0)
        elif argument.startswith("--"):
            try:
                yield from _of_option(name, value)
            except yaml.YAMLError:
                yield Setting(name, value)


def _of_option(name: str, value: str) -> Iterator[Setting]:
    """What an option sets; a text may look like YAML that is wrong, and is a text then."""
    node: Any = yaml.compose(value)
    block = isinstance(node, yaml.MappingNode) and not node.flow_style
    try:
        found = list(_flat(node, "" if name == "config" else name, None, 0))
    except UserError:
        if not block and (node is None or not node.tag.startswith("!")):
            raise
        found = [Setting(name, value)]
    yield from found


def _read(name: str) -> yaml.Node:
    try:
        node = yaml.compose(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{name}:{line}: not UTF-8 at byte {error.start} of the file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name}:{line}: no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name}: no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{name}: holds no keys" + ("; the file is empty" if node is None else ""))
    return node


def _is_finite(number: str) -> bool:
    try:
        return math.isfinite(float(re.sub(r"_|\.(?=inf|nan)", "", number.lower())))  # YAML's .inf is Python's inf
    except ValueError:  # YAML's 1:30.5
        return True


def _flat(node: Any, key: str, file: str | None, line: int) -> Iterator[Setting]:
    where = f"{file}:{line + 1}: " if file else ""
    if node is not None and node.tag not in yaml.SafeLoader.yaml_constructors:
        raise UserError(f"{where}{key}: {node.tag} is no tag of plain YAML; name an object by its class_path")
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":float") and not _is_finite(node.value):
        raise UserError(f"{where}{key} is {node.value}; it must be a finite number")
    yield Setting(key, node.value if isinstance(node, yaml.ScalarNode) else "", where)
    if isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for name, value in node.value:
            below = key if name.value == "<<" else f"{key}.{name.value}" if key else str(name.value)
            if below in seen:
                at = f"{file}:{name.start_mark.line + 1}: " if file else ""
                raise UserError(f"{at}{below}: given twice in one mapping; keep one of the two")
            seen |= {below} - {key}
            yield from _flat(value, below, file, name.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _flat(value, f"{key}[{i}]", file, value.start_mark.line)
