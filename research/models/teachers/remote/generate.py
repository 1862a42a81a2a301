"""``teacher generate``: training texts that a model on a server writes after a prompt and a few examples."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from research.data.sources import Source
from research.errors import UserError
from research.models.teachers.remote.command import run
from research.models.teachers.remote.job import Job
from research.models.teachers.remote.question import request, text_of
from research.models.teachers.remote.server import Request, Server

ANY = ""  # stands for the label where there is none


class Generate(Job):
    """Writes ``{"text", "label"}`` lines, or ``{"text"}`` without labels; empty and repeated texts are left out.

    Request i asks for label i modulo their number, shows examples drawn by the seed and i, and has seed i itself.

    Args:
        server: who is asked.
        prompt: may hold ``{label}``, and ``{examples}`` where the examples go, a blank line between two.
        out: the file of JSON lines; it is written when all is answered, whole or not at all.
        count: texts asked for, at least 1.
        labels: for each label the words that tell the model what it means; the default is texts without labels.
        examples: records to show, of the asked label if there are labels.
        shots: examples of a prompt, at least 1.
        api: ``chat``, or ``completions`` for a model that only goes on with a text.
        temperature: of the sampling, at least 0.
        max_tokens: of a text, at least 1.
        stop: where a text ends, such as a line break for a model that only goes on.
        seed: of the examples.
    """

    def __init__(
        self,
        server: Server,
        prompt: str,
        out: str,
        count: int,
        labels: dict[str, str] | None = None,
        examples: Source | None = None,
        shots: int = 4,
        api: Literal["chat", "completions"] = "chat",
        temperature: float = 1.0,
        max_tokens: int = 128,
        stop: list[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(server, out)
        for name, value in (("count", count), ("shots", shots), ("max_tokens", max_tokens)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        if temperature < 0:
            raise UserError(f"temperature is {temperature}; it must be at least 0")
        for place, given in (("{label}", labels), ("{examples}", examples)):
            if (place in prompt) != (given is not None):
                raise UserError(f"prompt: {place} and the setting {place.strip('{}')} need each other")
        self.prompt, self.count, self.labels = prompt, count, labels or {ANY: ""}
        self.examples, self.shots, self.api = examples, shots, api
        self.settings = {"temperature": temperature, **({"stop": stop} if stop else {})}
        self.max_tokens, self.seed = max_tokens, seed
        self.seen = set[str]()

    def items(self) -> Iterator[tuple[str, list[Request]]]:
        shown, names = self._shown(), list(self.labels)
        for i in range(self.count):
            label = names[i % len(names)]
            prompt = self.prompt.replace("{label}", self.labels[label])
            if self.examples is not None:
                texts = shown[label]
                drawn = np.random.default_rng([self.seed, i]).permutation(len(texts))[: self.shots]
                prompt = prompt.replace("{examples}", "\n\n".join(texts[j] for j in drawn))
            yield label, [request(prompt, self.api, self.max_tokens, seed=i, **self.settings)]

    def line(self, item: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        text = text_of(answers[0]).strip()
        if not text or text in self.seen:
            return None
        self.seen.add(text)
        return {"text": text} if item == ANY else {"text": text, "label": item}

    def _shown(self) -> dict[str, list[str]]:
        """The texts of the examples by label."""
        shown = defaultdict[str, list[str]](list)
        for record in self.examples or ():
            shown[ANY if ANY in self.labels else str(record.get("label"))].append(record["text"])
        if self.examples is not None and (bare := [name for name in self.labels if not shown[name]]):
            raise UserError(f"examples: the source has none of label '{bare[0]}'")
        return shown


def main(arguments: list[str]) -> int:
    return run(Generate, "generate", arguments)
