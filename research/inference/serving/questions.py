"""What can be asked over HTTP, each with its limits."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

TEXTS = 256  # of a request
CHARACTERS = 20_000  # of a text
TOKENS = 1024  # that may be asked to be written
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def readable(text: str) -> str:
    """The same text.

    Raises :class:`ValueError` where it is blank or holds a control character.
    """
    if found := CONTROL.search(text):
        raise ValueError(f"holds the control character U+{ord(found[0]):04X} at character {found.start()}")
    if not text.strip():
        raise ValueError("is blank")
    return text


def as_list(given: Any) -> Any:
    return [given] if isinstance(given, str | dict) else given


def as_record(given: Any) -> Any:
    return {"text": given} if isinstance(given, str) else given


Words = Annotated[str, Field(max_length=CHARACTERS), AfterValidator(readable)]


class Strict(BaseModel):
    """A key that is not known is an error, not passed over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Text(Strict):
    """A text, or two that are read together."""

    text: Words
    text_pair: Words | None = None


class Pair(Strict):
    """Two texts to be compared."""

    text: Words
    text_pair: Words


Texts = Annotated[
    list[Annotated[Text, BeforeValidator(as_record)]], BeforeValidator(as_list), Field(min_length=1, max_length=TEXTS)
]
"""One or several, each a string, or an object with ``text`` and maybe ``text_pair``."""


class Question(Strict):
    """What every route takes: the task that is asked, where there are several."""

    path: ClassVar[str]
    task: str | None = None


class Predict(Question):
    """Answers of a task; of the probabilities the ``top`` highest."""

    path = "/predict"
    texts: Texts
    top: Annotated[int, Field(ge=1, le=1000)] = 5


class Embed(Question):
    """Embeddings; there is no task to name."""

    path = "/embed"
    task: None = None
    texts: Texts


class Score(Question):
    """The cosine of the embeddings of the two texts of each pair."""

    path = "/score"
    task: None = None
    pairs: Annotated[list[Pair], BeforeValidator(as_list), Field(min_length=1, max_length=TEXTS)]


class Explain(Question):
    """An answer to one text, with the words that mattered and the nearest known texts."""

    path = "/explain"
    text: Words
    top: Annotated[int, Field(ge=1, le=1000)] = 5
    neighbours: Annotated[int, Field(ge=0, le=50)] = 5


class Tasks(Question):
    """What the student can be asked."""

    path = "/tasks"
    task: None = None


class Message(Strict):
    """There is no template of a dialogue that a text could break out of: the student reads one text."""

    role: Literal["user"]
    content: Words


class Chat(Strict):
    """The part of OpenAI's chat completions that a student can do; ``model`` is the name of a task."""

    path: ClassVar[str] = "/v1/chat/completions"
    model: Annotated[str, Field(max_length=200)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    n: Annotated[int, Field(ge=1, le=8)] = 1
    stop: Annotated[list[str], BeforeValidator(as_list), Field(max_length=4)] = []
    stream: bool = False
    user: str | None = None

    @property
    def task(self) -> str:
        return self.model

    @property
    def most(self) -> int | None:
        """Tokens to write at most; none is as the task was trained."""
        return self.max_completion_tokens or self.max_tokens
