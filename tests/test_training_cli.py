"""The parser of fit, test and predict."""

from pathlib import Path
from typing import Union

import pytest

from research.training_cli import TrainingCLI

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
FLOAT_FIRST = Union[float, int, None]  # noqa: UP007  # the order is what is tested


class Parsed(TrainingCLI):
    """Reads a config as if typing had given out a union that was made elsewhere."""

    def add_core_arguments_to_parser(self, parser):
        super().add_core_arguments_to_parser(parser)
        for action in parser._actions:
            if action.dest == "trainer.limit_test_batches":
                action._typehint = FLOAT_FIRST

    def instantiate_classes(self):
        """Nothing is made."""

    def _run_subcommand(self, subcommand):
        """Nothing is run."""


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5), ("null", None)])
def test_one_batch_is_not_read_as_all_of_them(given, expected):
    parsed = Parsed(["fit", "--config", str(CONFIG), "--trainer.limit_test_batches", given])
    value = parsed.config.fit.trainer.limit_test_batches
    assert value == expected and type(value) is type(expected)
