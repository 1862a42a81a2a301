"""The mixture in a real training loop, over ranks and workers; nothing held out anywhere is trained on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
from torch import Tensor

from research.data import CorpusDataModule, Joint, MixtureDataModule, Sampled, TaskDataModule
from research.data.batch import Batch
from research.data.sampling import Sampling
from research.data.sources import CSV, TextFiles
from research.errors import UserError
from research.module import HybridModule
from research.objectives import Classification, MaskedLM
from research.step import Clean


class Recorder(lightning.Callback):
    """Which examples of which stream each training step saw."""

    def __init__(self) -> None:
        self.steps: list[dict[str, list[int]]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append({name: part.index.tolist() for name, part in batch.items() if part is not None})

    def of(self, stream: str) -> list[list[int]]:
        return [step[stream] for step in self.steps if stream in step]


@pytest.fixture
def module(tiny: Any) -> HybridModule:
    student = tiny("bert", architecture={"max_position_embeddings": 64, "num_hidden_layers": 1}).float()
    return HybridModule(student, {"mlm": MaskedLM("wiki"), "ce": Classification("intents")})


@pytest.fixture
def mixture(slices: Path, tmp_path: Path) -> Any:
    def mixture(sampling: Sampling | None = None, **given: Any) -> MixtureDataModule:
        wiki = CorpusDataModule(
            TextFiles(str(slices / "wikitext.txt"), unit="line"), validation=0.1, batch_size=16, max_length=32
        )
        intents = TaskDataModule(
            CSV(str(slices / "banking77" / "train.csv"), "text", label="category"),
            validation=0.2,
            test=CSV(str(slices / "banking77" / "test.csv"), "text", label="category"),
            batch_size=8,
            max_length=32,
        )
        return MixtureDataModule({"wiki": wiki, "intents": intents}, sampling, cache=str(tmp_path), **given)

    return mixture


def fit(module: HybridModule, data: MixtureDataModule, epochs: int = 1, steps: int = -1) -> Recorder:
    recorder = Recorder()
    lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, max_steps=steps, callbacks=[recorder], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    ).fit(module, data)  # fmt: skip
    return recorder


def on_rank(
    data: MixtureDataModule, module: HybridModule, rank: int, ranks: int, start: int = 0, strategy: str = "ddp"
) -> None:
    """Stand where Lightning puts the process of a rank."""
    progress = SimpleNamespace(total=SimpleNamespace(processed=start, ready=start, completed=start))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=ranks, global_rank=rank, lightning_module=module, fit_loop=loop, strategy=strategy
    )


def sorted_indices(batches: Sequence[Sequence[int]]) -> list[int]:
    return sorted(i for batch in batches for i in batch)


def test_joint_epochs_show_the_longest_stream_whole(module: HybridModule, mixture: Any) -> None:
    data = mixture(Joint())
    recorder = fit(module, data, epochs=2)
    sizes = {name: len(stream.stream("train")) for name, stream in data.streams.items()}
    n = {name: len(stream.stream("train").examples.lengths) for name, stream in data.streams.items()}
    longest = max(sizes, key=lambda name: sizes[name])
    short = min(sizes, key=lambda name: sizes[name])
    assert sizes[longest] > 2 * sizes[short] and len(recorder.steps) == 2 * sizes[longest]
    assert all(set(step) == {"wiki", "intents"} for step in recorder.steps)
    for name in (longest, short):
        batches, size = recorder.of(name), sizes[name]
        for start in range(0, len(batches) - size + 1, size):
            assert sorted_indices(batches[start : start + size]) == list(range(n[name])), (name, start)
    first, second = recorder.of(longest)[: sizes[longest]], recorder.of(longest)[sizes[longest] :]
    assert first != second


@pytest.mark.parametrize("epoch, steps", [("shortest", None), (3, 3)])
def test_joint_epochs_of_other_lengths(epoch: Any, steps: int | None, module: HybridModule, mixture: Any) -> None:
    data = mixture(Joint(epoch))
    recorder = fit(module, data, epochs=2)
    length = steps or min(len(stream.stream("train")) for stream in data.streams.values())
    assert len(recorder.steps) == 2 * length
    reference = data.streams["wiki"].stream("train")
    expected = [reference[p].index.tolist() for p in range(2 * length)]
    assert recorder.of("wiki") == expected, "the second epoch goes on where the first one ended"


def test_sampled_steps_have_one_stream(module: HybridModule, mixture: Any) -> None:
    data = mixture(Sampled({"wiki": 2.0, "intents": 1.0}, epoch=15))
    recorder = fit(module, data, epochs=2)
    assert len(recorder.steps) == 30 and {len(step) for step in recorder.steps} == {1}
    for name in data.streams:
        part, batches = data.streams[name].stream("train"), recorder.of(name)
        assert len(batches) > 4
        assert batches == [part[p].index.tolist() for p in range(len(batches))], "no batch is skipped or repeated"


def test_workers_change_nothing(module: HybridModule, mixture: Any) -> None:
    runs = [
        fit(module, mixture(Sampled({"wiki": 1.0, "intents": 1.0}), num_workers=workers), steps=8).steps
        for workers in (0, 1)
    ]
    assert len(runs[0]) == 8 and runs[0] == runs[1]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_share_every_pass(ranks: int, module: HybridModule, mixture: Any) -> None:
    """Together the ranks see each example once a pass, and no two of them the same one."""
    data = mixture(Joint())
    on_rank(data, module, 0, ranks)
    data.connect(module)
    data.prepare_data()
    data.setup()
    passes = {name: len(stream.stream("train")) for name, stream in data.streams.items()}
    length = max(-(-size // ranks) for size in passes.values())
    by_rank = []
    for rank in range(ranks):
        on_rank(data, module, rank, ranks)
        loader = data.train_dataloader()
        assert {len(part) for part in loader.flattened} == {length}
        parts = {name: iter(part) for name, part in loader.iterables.items()}
        by_rank.append({name: [next(part).index.tolist() for _ in range(length)] for name, part in parts.items()})
    for name, size in passes.items():
        in_order = [by_rank[k % ranks][name][k // ranks] for k in range(size)]
        n = len(data.streams[name].stream("train").examples.lengths)
        assert sorted_indices(in_order) == list(range(n))


@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_share_what_is_held_out(ranks: int, module: HybridModule, mixture: Any) -> None:
    data = mixture()
    on_rank(data, module, 0, ranks)
    data.connect(module)
    data.prepare_data()
    data.setup()
    assert data.held_out_streams("validation") == ["wiki", "intents"]
    assert data.held_out_streams("test") == ["intents"]
    seen: dict[int, list[list[int]]] = {}
    for rank in range(ranks):
        on_rank(data, module, rank, ranks)
        for i, loader in enumerate(data.val_dataloader().flattened):
            seen.setdefault(i, []).extend(batch.index.tolist() for batch in loader)
    for i, name in enumerate(data.held_out_streams("validation")):
        n = len(data.streams[name].stream("validation").examples.lengths)
        assert sorted_indices(seen[i]) == list(range(n))


def test_processes_with_parts_of_a_model_have_as_many_batches(module: HybridModule, mixture: Any) -> None:
    """Whichever of them would have fewer repeats some, which are not measured."""
    data = mixture()
    on_rank(data, module, 0, 3)
    data.connect(module)
    data.prepare_data()
    data.setup()
    (name,) = data.held_out_streams("test")
    counts, seen = set(), list[list[int]]()
    for rank in range(3):
        on_rank(data, module, rank, 3, strategy="fsdp")
        (loader,) = data.test_dataloader().flattened
        batches = [batch.index.tolist() for batch in loader]
        counts.add(len(batches))
        seen += batches[: data.measured["test", name]]
    assert len(counts) == 1 and 3 * counts.pop() > len(seen), "a number of batches that three do not divide"
    assert sorted_indices(seen) == list(range(len(data.streams[name].stream("test").examples.lengths)))


def test_each_process_has_a_held_out_batch(module: HybridModule, mixture: Any) -> None:
    """Where there are fewer batches than processes they are cut, as Lightning wants; down to one example each."""
    data = mixture()
    on_rank(data, module, 0, 1)
    data.connect(module)
    data.prepare_data()
    data.setup()
    name = data.held_out_streams("test")[0]
    part = data.streams[name].stream("test")
    n = len(part.examples.lengths)
    for ranks in (len(part) + 1, n):
        seen = []
        for rank in range(ranks):
            on_rank(data, module, rank, ranks)
            (loader,) = data.test_dataloader().flattened
            batches = [batch.index.tolist() for batch in loader]
            assert batches
            seen += batches
        assert sorted_indices(seen) == list(range(n))
    on_rank(data, module, 0, n + 1)
    with pytest.raises(UserError, match=rf"data.streams.{name}: its test split is too small for {n + 1} processes"):
        data.test_dataloader()


def test_prediction_reads_clean_texts(module: HybridModule, mixture: Any) -> None:
    data = mixture()
    on_rank(data, module, 0, 1)
    data.connect(module)
    data.prepare_data()
    data.setup()
    batches: list[Batch] = [batch for loader in data.predict_dataloader().flattened for batch in loader]
    assert batches and all(set(batch.views) == {Clean()} for batch in batches)


def test_the_seed_decides_the_order(module: HybridModule, mixture: Any) -> None:
    orders: list[list[int]] = []
    for seed in (0, 0, 1):
        data = mixture()
        on_rank(data, module, 0, 1)
        data.connect(module, seed)
        data.setup()
        index: Tensor = data.streams["wiki"].stream("train")[0].index
        orders.append(index.tolist())
    assert orders[0] == orders[1] != orders[2]


def texts(data: MixtureDataModule, name: str, split: str) -> set[str]:
    stream = data.streams[name]
    table, rows = stream.rows[split]
    source: Any = getattr(stream, split, stream.source) if split != "train" else stream.source
    lines = {record["where"]: record["text"] for record in (stream.source if isinstance(source, float) else source)}
    return {lines[where].lower() for where in np.array(table["where"].to_pylist())[rows]}


def held_out_everywhere(data: MixtureDataModule, module: HybridModule) -> dict[str, set[str]]:
    on_rank(data, module, 0, 1)
    data.connect(module)
    data.setup()
    out: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        out[split] = set().union(
            *(texts(data, name, split) for name, stream in data.streams.items() if split in stream.rows)
        )
    return out


def labelled(n: int, start: int = 0) -> list[dict[str, str]]:
    return [{"text": f"text number {i}", "label": f"class {i % 2}"} for i in range(start, start + n)]


def test_streams_over_one_source_hold_out_the_same(module: HybridModule, counted: Any, tmp_path: Path) -> None:
    shares = {"validation": 0.2, "test": 0.2}
    data = MixtureDataModule(
        {
            "wiki": CorpusDataModule(counted(labelled(200)), **shares),  # type: ignore[arg-type]
            "intents": TaskDataModule(counted(labelled(200)), **shares),  # type: ignore[arg-type]
        },
        cache=str(tmp_path),
    )
    held_out_everywhere(data, module)
    for split in ("train", "validation", "test"):
        assert texts(data, "wiki", split) == texts(data, "intents", split) != set()


def test_what_one_stream_tests_on_no_stream_trains_on(
    module: HybridModule, counted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With other shares, another seed, and a test source that repeats training texts in capitals."""
    official = [record | {"text": record["text"].upper()} for record in labelled(20, start=90)]
    data = MixtureDataModule(
        {
            "wiki": CorpusDataModule(counted(labelled(150)), validation=0.1, test=0.2),
            "intents": TaskDataModule(counted(labelled(100)), validation=0.3, test=counted(official), split_seed=5),
        },
        cache=str(tmp_path),
    )
    with caplog.at_level(logging.INFO, "research"):
        splits = held_out_everywhere(data, module)
    assert not splits["train"] & splits["test"] and not splits["train"] & splits["validation"]
    assert not splits["validation"] & splits["test"]
    assert {f"text number {i}" for i in range(90, 110)} <= splits["test"] and len(splits["train"]) > 40
    for name in ("wiki", "intents"):
        assert any(message.startswith(f"{name}: ") and "held out elsewhere" in message for message in caplog.messages)


def test_a_second_run_reads_no_source_again(module: HybridModule, counted: Any, tmp_path: Path) -> None:
    reads = []
    for _ in range(2):
        wiki, intents = counted([f"line {i}" for i in range(40)]), counted(labelled(40))
        data = MixtureDataModule(
            {"wiki": CorpusDataModule(wiki), "intents": TaskDataModule(intents)}, cache=str(tmp_path)
        )
        on_rank(data, module, 0, 1)
        data.prepare_data()
        data.setup()
        data.train_dataloader(), data.val_dataloader()
        reads.append((wiki.reads, intents.reads))
    assert reads == [(1, 1), (0, 0)]


def test_refused(module: HybridModule, mixture: Any, counted: Any) -> None:
    with pytest.raises(UserError, match=r"data\.streams: give at least one stream"):
        MixtureDataModule({})
    with pytest.raises(UserError, match=r"data\.num_workers is -1"):
        mixture(num_workers=-1)
    data = mixture()
    data.streams["extra"] = CorpusDataModule(counted(["a"]))
    with pytest.raises(UserError, match=r"data\.streams\.extra: no objective reads this stream"):
        data.connect(module)
    data = mixture(Sampled({"wiki": 1.0}))
    with pytest.raises(UserError, match="probabilities name"):
        data.connect(module)
    data = mixture()
    data.streams["intents"].test = 0.0
    on_rank(data, module, 0, 1)
    data.setup()
    with pytest.raises(UserError, match=r"data\.streams: no stream has a test split"):
        data.test_dataloader()
