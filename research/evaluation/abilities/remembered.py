"""Figures of published models, measured once."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from research.data.cache import key
from research.data.shards import explained
from research.models.backbone import weights_digest

if TYPE_CHECKING:
    from research.evaluation.abilities.ability import Ability
    from research.models.student import Student

FORMAT = 1  # raise it when the meaning of an ability's figure changes


def remembered(ability: "Ability", student: "Student", precision: str, folder: Path) -> float:
    """The figure of a student that was built from its backbone and not trained yet: from ``folder``, or measured now.

    Raises:
        UserError: if the folder cannot be written.
    """
    base = weights_digest(str(student.backbone), student.config), student.keep_layers
    settings = student.pooling, student.embedding_norm, precision
    path = folder / f"{key('ability', FORMAT, ability.fingerprint(), *base, *settings)}.json"
    if not path.exists():
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            work = path.with_suffix(f".{os.getpid()}")
            work.write_text(json.dumps(ability.measure(student)))
            os.replace(work, path)
    return json.loads(path.read_text())
