"""``fit --without``: a config that lacks some objectives, and what they alone had asked for."""

import pydoc
from collections.abc import Iterable
from typing import Any

from jsonargparse import Namespace

from research.errors import UserError


def leave_out(config: Namespace, names: list[str]) -> list[str]:
    """Take objectives out of a parsed config of ``fit``; returns the keys that went.

    Their weights go with them, and so do a teacher that no other objective asks for and streams that no other reads,
    with their shares of the mixture.

    Raises:
        UserError: for an objective that the config does not have.
    """
    objectives, streams = config.model.objectives, config.data.streams
    for name in names:
        if name not in objectives:
            raise UserError(f"--without {name}: no such objective; there are {', '.join(objectives)}")
    left = {name: objective for name, objective in objectives.items() if name not in names}
    unread = (words(objectives) - words(left)) & streams.keys()
    gone = [f"model.objectives.{name}" for name in objectives if name not in left]
    gone += [f"data.streams.{name}" for name in streams if name in unread]
    if config.model.teacher is not None and asks_teacher(objectives) and not asks_teacher(left):
        config.model.teacher = None
        gone.append("model.teacher")
    forget(config.model.weighting, objectives.keys() - left.keys())
    forget(config.data.mixture, unread)
    config.model.objectives = left
    config.data.streams = {name: stream for name, stream in streams.items() if name not in unread}
    return gone


def parts(value: Any) -> list[Any]:
    """The value and all that is inside it."""
    inside = vars(value) if isinstance(value, Namespace) else value
    below = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else []
    return [value, *(part for each in below for part in parts(each))]


def words(value: Any) -> set[str]:
    """Every string in a value, at any depth."""
    return {part for part in parts(value) if isinstance(part, str)}


def asks_teacher(objectives: Any) -> bool:
    """Whether any of them, or of those inside them, asks the teacher."""
    made = [part for part in parts(objectives) if isinstance(part, Namespace) and "class_path" in part]
    return any(
        getattr(pydoc.locate(part.class_path), "needs_teacher", False) or part.init_args.get("from_teacher")
        for part in made
    )


def forget(value: Any, names: Iterable[str]) -> None:
    """Take names out of all mappings and lists inside the value."""
    for part in parts(value):
        for name in names:
            if isinstance(part, dict):
                part.pop(name, None)
            elif isinstance(part, list) and name in part:
                part.remove(name)
