"""An arm as a search sees it: without its test splits."""

import copy
from typing import Any

from jsonargparse import Namespace

from research.ablation.design.grid import Arm
from research.ablation.design.resolve import Resolved
from research.errors import UserError


class Development(Resolved):
    """Resolved without the sources that are test splits alone; a test share of another source stays set apart.

    ``settings`` is the config with them, and without what names and tracks a run.

    Raises:
        UserError: what ``fit`` would refuse, or a validation split that is the test split, with the arm's name.
    """

    def __init__(self, arm: Arm) -> None:
        self.hidden: list[str] = []
        super().__init__(arm, f"arm {arm}")

    def before_instantiate_classes(self) -> None:
        super().before_instantiate_classes()
        self.settings = {name: self.dump[name] for name in ("model", "data", "trainer")}
        self.dump = copy.deepcopy(self.dump)
        for name, stream in self.config["fit"].data.streams.items():
            if is_source(test := stream.init_args.get("test")):
                if stream.init_args.validation == test:
                    told = "the same source as test, which a search does not see"
                    raise UserError(f"data.streams.{name}.init_args.validation: {told}")
                stream.init_args.test = self.dump["data"]["streams"][name]["init_args"]["test"] = 0.0
                self.hidden.append(name)

    def options(self) -> list[str]:
        """What has ``fit`` hide the same."""
        return [part for name in self.hidden for part in (f"--data.streams.{name}.init_args.test", "0.0")]


def is_source(value: Any) -> bool:
    return isinstance(value, Namespace)
