"""The parser of fit, test and predict."""

from pathlib import Path
from typing import Union

import pytest

from research.training_cli import TrainingCLI

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
# The order is what is tested.
FLOAT_FIRST = {
    "trainer.limit_test_batches": Union[float, int, None],  # noqa: UP007
    "trainer.overfit_batches": Union[float, int],  # noqa: UP007
}


class Parsed(TrainingCLI):
    """Reads a config as if typing had given out a union that was made elsewhere."""

    def add_core_arguments_to_parser(self, parser):
        super().add_core_arguments_to_parser(parser)
        for action in parser._actions:
            if action.dest in FLOAT_FIRST:
                action._typehint = FLOAT_FIRST[action.dest]

    def instantiate_classes(self):
        """Nothing is made."""

    def _run_subcommand(self, subcommand):
        """Nothing is run."""


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        ("limit_test_batches", "1", 1),
        ("limit_test_batches", "1.0", 1.0),
        ("limit_test_batches", "0.5", 0.5),
        ("limit_test_batches", "null", None),
        ("overfit_batches", "1", 1),
        ("overfit_batches", "1.0", 1.0),
    ],
)
def test_one_batch_is_not_read_as_all_of_them(option, given, expected):
    parsed = Parsed(["fit", "--config", str(CONFIG), f"--trainer.{option}", given])
    value = parsed.config.fit.trainer[option]
    assert value == expected and type(value) is type(expected)
