"""The weights that a run began with."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def first_weights(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The backbone's tensors, by their names in it, before the first step of a run with this config of ``fit``.

    Heads are left out: they began with nothing. The random numbers of the process are seeded anew.
    """
    from jsonargparse import ArgumentParser
    from lightning import seed_everything

    from research.models import Student

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--student", type=Student)
    student: Student = parser.instantiate(parser.parse_object({"student": config["model"]["student"]})).student
    seed_everything(config["seed_everything"], verbose=False)
    student.build()
    assert student.model is not None
    return student.model.state_dict()
