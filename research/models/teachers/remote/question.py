"""A question with a closed set of answers: the prompt, and the word that stands for each label."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from research.errors import UserError
from research.models.teachers.remote.server import Request

MOST = 20  # log-probabilities that the protocol allows at a token of a chat
WORD = 8  # tokens that a word may take where answers are counted


def request(prompt: str, api: str, max_tokens: int, **settings: Any) -> Request:
    """The body for a prompt, as the user's message of a chat or as a text to go on with."""
    given = {"messages": [{"role": "user", "content": prompt}]} if api == "chat" else {"prompt": prompt}
    return {**given, "max_tokens": max_tokens, **settings}


def likeliest(api: str, top: int) -> dict[str, Any]:
    """The setting that asks for log-probabilities of the likeliest tokens."""
    return {"logprobs": True, "top_logprobs": top} if api == "chat" else {"logprobs": top}


def text_of(answer: Mapping[str, Any]) -> str:
    """What the model wrote."""
    choice = answer["choices"][0]
    return (choice.get("text") or "") if "message" not in choice else (choice["message"].get("content") or "")


def first_token(answer: Mapping[str, Any]) -> dict[str, float]:
    """Probabilities of the likeliest first tokens, in the form of a chat or of a completion; empty without them."""
    logprobs = answer["choices"][0].get("logprobs") or {}
    if logprobs.get("content"):
        return {top["token"]: math.exp(top["logprob"]) for top in logprobs["content"][0]["top_logprobs"]}
    tops = logprobs.get("top_logprobs") or [{}]
    return {token: math.exp(value) for token, value in (tops[0] or {}).items()}


@dataclass
class Question:
    """Asks for one of several words.

    Args:
        prompt: with ``{text}`` where the text goes.
        words: the word that the model should answer for each label.
        api: ``chat``, or ``completions`` for a model that only goes on with a text.
        votes: 0 reads the probabilities of the first token of one answer (a token counts for the one word that begins
            with it); above 0, so many sampled answers are counted, as a server without log-probabilities needs it.
    """

    prompt: str
    words: dict[str, str]
    api: Literal["chat", "completions"] = "chat"
    votes: int = 0

    def __post_init__(self) -> None:
        if "{text}" not in self.prompt:
            raise UserError("prompt: put {text} where the text goes")
        plain = [normal(word) for word in self.words.values()]
        if len(self.words) < 2 or len(set(plain)) < len(plain) or not all(plain):
            raise UserError(f"words: give at least two labels, each with a word of its own; there is {self.words}")
        if self.votes < 0:
            raise UserError(f"votes is {self.votes}; it must be at least 0")

    def requests(self, text: str) -> list[Request]:
        prompt = self.prompt.replace("{text}", text)
        if self.votes:
            return [
                request(prompt, self.api, WORD, temperature=1.0 if self.votes > 1 else 0.0, seed=seed)
                for seed in range(self.votes)
            ]
        return [request(prompt, self.api, 1, temperature=0.0, **likeliest(self.api, MOST))]

    def weights(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """How much the answers speak for each label: probability, or share of the votes. All 0 if for none.

        Raises:
            UserError: if the server gives no log-probabilities though they were asked for.
        """
        weights = dict.fromkeys(self.words, 0.0)
        if self.votes:
            for answer in answers:
                if label := self._named(text_of(answer)):
                    weights[label] += 1 / self.votes
            return weights
        tokens = first_token(answers[0])
        if not tokens:
            raise UserError("votes is 0, but the server gives no log-probabilities; set votes to 1 or more")
        for token, probability in tokens.items():
            if label := self._begun(token):
                weights[label] += probability
        return weights

    def _begun(self, token: str) -> str | None:
        """The label of the one word that begins with a token."""
        start = normal(token)
        begun = [label for label, word in self.words.items() if start and normal(word).startswith(start)]
        return begun[0] if len(begun) == 1 else None

    def _named(self, text: str) -> str | None:
        """The label of the longest word that an answer begins with."""
        said = normal(text)
        named = [label for label, word in self.words.items() if said.startswith(normal(word))]
        return max(named, key=lambda label: len(self.words[label]), default=None)


def normal(word: str) -> str:
    """A word without case, quotes and punctuation around it, to compare with a label."""
    return word.strip(" \n\t\"'*.:").casefold()
