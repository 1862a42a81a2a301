"""Keys and passwords have no place in a config: it is saved with its run, in its checkpoints and by its trackers."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from research.errors import UserError

KNOWN = re.compile(  # how OpenAI, Hugging Face, GitHub, GitLab, AWS, Google, Slack and W&B write theirs; and URLs
    r"(?<![\w-])(sk-[\w-]{16,}|hf_\w{20,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[A-Z\d]{16}"
    r"|AIza[\w-]{30,}|xox[abprs]-[\w-]{10,}|wandb_v\d_\w{20,})|\w://[^/\s:@]*:[^/\s@]+@"
)
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)(_ID)?$")  # names of variables of the environment that hold one
SHORTEST = 12  # characters; less is no key, and may be any word


def check_credentials(config: Mapping[str, Any]) -> None:
    """Refuse a config that holds what is written like a key, or is one of the environment's; it is not shown.

    Raises:
        UserError: naming the setting.
    """
    own = [value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= SHORTEST]
    for key, text in texts_of(config, ""):
        if KNOWN.search(text) or any(secret in text for secret in own):
            told = "holds what looks like a key or a password, which would be saved with the run"
            raise UserError(f"{key}: {told}; remove it, and give it by a variable of the environment")


def texts_of(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """The dotted key and the text of each string in nested mappings and lists, names of settings among them."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield f"{key or 'the config'}: one of its names", str(name)
            yield from texts_of(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from texts_of(part, f"{key}[{number}]")
