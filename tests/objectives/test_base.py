"""Each objective is refused where it has no meaning, in one line that names the key and both sides."""

from typing import Any

import pytest

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import (
    CausalLM,
    Classification,
    Contrastive,
    Generation,
    MaskedLM,
    Objective,
    Regression,
    SpanCorruption,
)

STREAMS = {
    "wiki": StreamInfo("unlabelled"),
    "news": StreamInfo("classify", ("a", "b")),
    "tags": StreamInfo("multilabel", ("a", "b")),
    "similarity": StreamInfo("regress"),
    "facts": StreamInfo("generate"),
}
MEANING: list[tuple[type[Objective], set[str], set[str]]] = [  # objective, families, streams
    (MaskedLM, {"bert"}, set(STREAMS)),
    (CausalLM, {"gpt2"}, set(STREAMS)),
    (SpanCorruption, {"t5"}, set(STREAMS)),
    (Generation, {"gpt2", "t5"}, {"facts"}),
    (Classification, {"bert", "gpt2", "t5"}, {"news", "tags"}),
    (Regression, {"bert", "gpt2", "t5"}, {"similarity"}),
    (Contrastive, {"bert", "gpt2", "t5"}, set(STREAMS)),
]
FAMILY = {"bert": "encoder", "gpt2": "decoder", "t5": "encoder-decoder"}


@pytest.mark.parametrize(("objective", "families", "streams"), MEANING)
@pytest.mark.parametrize("name", FAMILY)
def test_every_combination(objective: Any, families: set[str], streams: set[str], name: str, tiny: Any) -> None:
    family = tiny(name).family
    for stream in STREAMS:
        if stream in streams and name in families:
            objective(stream).check("mine", family, STREAMS, None)
            continue
        with pytest.raises(UserError) as error:
            objective(stream).check("mine", family, STREAMS, None)
        message = str(error.value)
        assert message.startswith(f"model.objectives.mine: {objective.__name__} ") and "\n" not in message
        assert (f"data.streams.{stream}" in message) if stream not in streams else (FAMILY[name] in message)


def test_unknown_stream(tiny: Any) -> None:
    with pytest.raises(
        UserError, match=r"model.objectives.mine: no stream is called 'wikl'; data.streams has wiki, news"
    ):
        MaskedLM("wikl").check("mine", tiny("bert").family, STREAMS, None)
