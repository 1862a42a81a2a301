"""Tiny students of every family, from configurations and folders, over the repository's own licence text."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    set_seed,
)

from research.data.batch import Example, Tokens, pad_rows
from research.data.sources import TextFiles
from research.models import Student, TrainedTokenizer

LICENCE = Path(__file__).parents[2] / "LICENSE"
ENCODER = dict(
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=64,
)
TINY: dict[str, tuple[str, Any, dict[str, Any]]] = {  # tokenizer, class of the reference, settings
    "bert": ("wordpiece", AutoModelForMaskedLM, ENCODER),
    "roberta": ("wordpiece", AutoModelForMaskedLM, ENCODER | {"type_vocab_size": 1}),
    "hybrid_transformer": ("wordpiece", AutoModelForMaskedLM, ENCODER),
    "distilbert": ("wordpiece", AutoModelForMaskedLM,
                   dict(dim=32, n_layers=4, n_heads=2, hidden_dim=48, max_position_embeddings=64)),
    "gpt2": ("bpe", AutoModelForCausalLM, dict(n_embd=32, n_layer=4, n_head=2, n_positions=64)),
    "t5": ("unigram", AutoModelForSeq2SeqLM, dict(d_model=32, d_kv=16, d_ff=48, num_layers=4, num_heads=2)),
}  # fmt: skip
FAMILIES = ["bert", "gpt2", "t5"]
TEXTS = ["You may reproduce and distribute copies of the Work.", "does not grant permission", "Work"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``kind`` runs for BERT, GPT-2 and T5; one that takes ``any_kind`` for all below."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", FAMILIES)
    if "any_kind" in metafunc.fixturenames:
        metafunc.parametrize("any_kind", TINY)


@pytest.fixture(scope="session")
def corpus() -> TextFiles:
    return TextFiles(str(LICENCE))


@pytest.fixture(scope="session")
def trained(corpus: TextFiles) -> Callable[[str], TrainedTokenizer]:
    """The tokenizer of a kind, as the YAML would give it."""
    return lambda kind: TrainedTokenizer(corpus, vocab_size=500, kind=kind)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def settings() -> Callable[[str], dict[str, Any]]:
    """The settings of a tiny architecture."""
    return lambda name: {"model_type": name, **TINY[name][2]}


@pytest.fixture
def make(
    trained: Callable[[str], TrainedTokenizer], settings: Callable[[str], dict[str, Any]]
) -> Callable[..., Student]:
    """A student with random weights, in eval mode: ``make("bert", pooling="first")``."""

    def make(name: str, **given: Any) -> Student:
        set_seed(0)
        student = Student(architecture=settings(name), tokenizer=trained(TINY[name][0]), **given)
        student.build()
        return student.eval()

    return make


@pytest.fixture(scope="session")
def saved(
    trained: Callable[[str], TrainedTokenizer],
    settings: Callable[[str], dict[str, Any]],
    tmp_path_factory: Any,
) -> Callable[[str], Path]:
    """A folder that ``save_pretrained`` wrote, with a model that transformers made alone."""
    folders: dict[str, Path] = {}

    def saved(name: str) -> Path:
        if name not in folders:
            kind, auto, _ = TINY[name]
            tokenizer = trained(kind).load()
            given = settings(name) | {"vocab_size": len(tokenizer)}
            if kind == "wordpiece":
                given["pad_token_id"] = tokenizer.pad_token_id
            if kind == "bpe":
                given |= {"bos_token_id": 0, "eos_token_id": 0}
            if kind == "unigram":
                given |= {"decoder_start_token_id": 0}
            set_seed(1)
            model = auto.from_config(AutoConfig.for_model(given.pop("model_type"), **given))
            with torch.no_grad():  # weights as large as trained ones, so that differences show
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            folders[name] = tmp_path_factory.mktemp(name)
            model.save_pretrained(folders[name])
            tokenizer.save_pretrained(folders[name])
        return folders[name]

    return saved


@pytest.fixture(scope="session")
def reference(saved: Callable[[str], Path]) -> Callable[[str], Any]:
    """The model in such a folder, as transformers loads it, in eval mode."""
    return lambda name: TINY[name][1].from_pretrained(saved(name)).eval()


@pytest.fixture
def read() -> Callable[..., Tokens]:
    """What a student reads of some texts, or of pairs, or of texts with targets."""

    def read(student: Student, texts: Iterable[str] = TEXTS, seconds: Any = None, targets: Any = None) -> Tokens:
        def ids(many: Iterable[str]) -> list:
            return student.tokenizer(list(many), add_special_tokens=False)["input_ids"]

        first = ids(texts)
        second = [None] * len(first) if seconds is None else ids(seconds)
        target = [None] * len(first) if targets is None else ids(targets)
        lay_out = student.family.frame if targets is None else student.family.conditional
        rows = [lay_out(Example(*parts), student.vocabulary) for parts in zip(first, second, target, strict=True)]
        types = (getattr(student.config, "type_vocab_size", 0) or 0) > 1
        return pad_rows(rows, student.vocabulary.pad, types)

    return read
