"""The mixture as it came out, against what the log and the batches of a real run say."""

from pathlib import Path
from typing import Any

import lightning
import pytest

from research.callbacks.mixture_log import MixtureLog, as_text
from research.data import CorpusDataModule, Joint, MixtureDataModule, Sampled, TaskDataModule
from research.data.sources import CSV, TextFiles
from research.module import HybridModule
from research.objectives import Classification, MaskedLM
from research.ramp import Ramp


class Recorder(lightning.Callback):
    """What each step had of each stream: examples, and tokens that are no padding."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {"wiki": [], "intents": []}
        self.figures: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.figures.append(pl_module.figures)
        for name, part in batch.items():
            if part is not None:
                (tokens,) = part.views.values()
                self.seen[name].append((len(part.index), int((tokens.ids != 0).sum())))


@pytest.fixture
def fit(tiny: Any, slices: Path, tmp_path: Path) -> Any:
    def fit(mixture: Any) -> tuple[dict[str, Any], Recorder]:
        student = tiny("bert", architecture={"max_position_embeddings": 64, "num_hidden_layers": 1}).float()
        module = HybridModule(student, {"mlm": MaskedLM("wiki"), "ce": Classification("intents")})
        wiki = CorpusDataModule(TextFiles(str(slices / "wikitext.txt"), unit="line"), batch_size=8, max_length=32)
        csv = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
        streams = {"wiki": wiki, "intents": TaskDataModule(csv, batch_size=4, max_length=32)}
        log, recorder = MixtureLog(), Recorder()
        trainer = lightning.Trainer(
            accelerator="cpu", max_steps=20, callbacks=[log, recorder], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(module, MixtureDataModule(streams, mixture, cache=str(tmp_path)))  # type: ignore[arg-type]
        assert student.vocabulary.pad == 0
        return log.realised(trainer), recorder

    return fit


def test_counts_and_shares_are_those_of_the_batches(fit: Any) -> None:
    realised, recorder = fit(Sampled({"wiki": Ramp(0.9, 0.1), "intents": 0.5}))
    steps = {name: len(seen) for name, seen in recorder.seen.items()}
    assert sum(steps.values()) == 20 and min(steps.values()) > 2
    for kind, count in (("examples", 0), ("tokens", 1)):
        sums = {name: sum(step[count] for step in seen) for name, seen in recorder.seen.items()}
        for name, total in sums.items():
            assert realised[name][kind] == total
            assert realised[name][f"{kind}_share"] == total / sum(sums.values())
    for name, number in steps.items():
        assert (realised[name]["steps"], realised[name]["steps_share"]) == (number, number / 20)
    wiki = [0.9 - 0.8 * step / 20 for step in range(20)]
    asked = [w / (w + 0.5) for w in wiki]
    assert [figures["probability/wiki"] for figures in recorder.figures] == pytest.approx(asked)
    assert realised["wiki"]["asked_share"] == pytest.approx(sum(asked) / 20)
    assert realised["intents"]["asked_share"] == pytest.approx(1 - sum(asked) / 20)
    assert as_text(realised).splitlines()[1].startswith(f"  intents  asked {1 - sum(asked) / 20:6.2%}, came ")


def test_where_nothing_is_drawn_no_share_is_asked(fit: Any) -> None:
    realised, recorder = fit(Joint(5))
    assert realised["wiki"]["steps"] == realised["intents"]["steps"] == 20
    assert "asked_share" not in realised["wiki"] and "asked" not in as_text(realised)
    assert not any(name.startswith("probability/") for name in recorder.figures[0])
