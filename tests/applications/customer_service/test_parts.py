"""The desk's data, its FAQ and its figures, against what others compute."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torchmetrics.functional.retrieval import retrieval_reciprocal_rank

from research.applications.customer_service import splits, training
from research.applications.customer_service.faq import FAQ, Index, faq
from research.applications.customer_service.measuring import measured
from research.applications.customer_service.reporting import report
from research.applications.customer_service.splits import Split
from research.errors import UserError


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.setattr(splits, "BANKING", str(shared / "banking77"))
    splits.messages.cache_clear()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_trained_on_that_the_refusal_is_tested_with(seed: int, tmp_path: Path) -> None:
    split = Split(seed, tested=20, development=10, outsiders=400)
    split.write(tmp_path)
    known = {intent for _, intent in split.inside("train")}
    near, development = ({intent for _, intent in part} for part in (split.near(), split.outside()))
    assert known == set(split.known) and (len(known), len(near), len(development)) == (47, 20, 10)
    assert not known & near and not known & development and not near & development
    assert {intent for _, intent in split.inside("test")} == known and len(split.outside()) == 400
    for file in ("train.csv", "words.csv"):
        text = (tmp_path / file).read_text()
        assert not any(f",{intent}\n" in text for intent in near | development)
    assert Split(seed + 1, 20, 10, 400).known != split.known


def test_the_faq_has_an_entry_for_every_intent(shared: Path) -> None:
    assert list(faq()) == json.loads((shared / "banking77" / "categories.json").read_text())
    questions = [entry.question for entry in faq().values()]
    assert len(set(questions)) == 77 and all(entry.answer.endswith(".") for entry in faq().values())
    messages = {text.lower() for split in ("train", "test") for text, _ in splits.messages(split)}
    assert not any(question.lower() in messages for question in questions), "written without the messages"


def test_a_torn_faq_is_told_by_its_line(tmp_path: Path) -> None:
    first = FAQ.read_text().splitlines()[0]
    for second, reason in (('{"intent": "x"}', "not an entry"), ("{", "not an entry"), (first, "has an entry already")):
        path = tmp_path / f"{len(second)}.jsonl"
        path.write_text(f"{first}\n{second}\n")
        with pytest.raises(UserError, match=rf"{path}:2: .*{reason}"):
            faq(path)


def test_the_nearest_entry_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    questions = {intent: rng.normal(size=8) for intent in "abcd"}
    messages = [(f"text {i}", "abcdz"[i % 5]) for i in range(25)]
    embeddings, asked = rng.normal(size=(25, 8)), rng.normal(size=(30, 8)) * 7
    index = Index(questions, messages, embeddings)
    kept = [i for i, (_, intent) in enumerate(messages) if intent != "z"]
    owners = np.array([*questions, *(messages[i][1] for i in kept)])
    rows = np.vstack([*questions.values(), embeddings[kept]])
    distances, order = NearestNeighbors(n_neighbors=len(rows), metric="cosine").fit(rows).kneighbors(asked)
    right = list("abcdabcdab" * 3)
    for text, distance, nearest, ours, rank in zip(
        asked, distances, order, right, index.ranks(asked, right), strict=True
    ):
        ranked = list(dict.fromkeys(owners[nearest]))
        assert rank == ranked.index(ours) + 1
        (best, similarity), *_ = index.nearest(text, 2)
        assert best == ranked[0] and similarity == pytest.approx(1 - distance[0])


KNOWN = ["a", "b", "c"]


def arrays(rng: np.random.Generator, sure: float = 3.0) -> tuple[dict[str, np.ndarray], dict[str, list], list]:
    """What a good classifier of three intents would say; others lie between."""
    labelled = {
        s: [("", KNOWN[i % 3]) for i in range(n)] for s, n in (("train", 24), ("validation", 90), ("test", 120))
    }
    out = {"latency": np.linspace(0.01, 0.03, 21), "load": np.array(1.0)}
    for name, messages in labelled.items():
        classes = np.array([KNOWN.index(intent) for _, intent in messages])
        out[f"{name}/embeddings"] = np.eye(5)[classes] + rng.normal(size=(len(classes), 5)) * 0.25
        out[f"{name}/logits"] = sure * out[f"{name}/embeddings"][:, :3] * 3
    for name in ("development", "near", "trec", "sst2", "reddit"):
        out[f"{name}/embeddings"] = np.eye(5)[3] + rng.normal(size=(50, 5)) * 0.4
        out[f"{name}/logits"] = sure * out[f"{name}/embeddings"][:, :3] * 3
    questions = [{"a": 0, "b": 1, "c": 2}.get(intent, 4) for intent in faq()]
    out["faq/embeddings"] = np.eye(5)[questions] + rng.normal(size=(len(questions), 5)) * 0.1
    return out, labelled, [("", intent) for intent in list(faq())[:50]]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """An FAQ of the three intents and 50 others."""
    from research.applications.customer_service import measuring
    from research.applications.customer_service.faq import Entry

    entries = {name: Entry(name, name, name) for name in [*KNOWN, *(f"other {i}" for i in range(50))]}
    monkeypatch.setattr(measuring, "faq", lambda: entries)
    monkeypatch.setitem(globals(), "faq", lambda: entries)


def test_figures_are_those_of_other_libraries(three: None) -> None:
    said, labelled, near = arrays(np.random.default_rng(0))
    figures = measured(said, labelled, near, KNOWN, risk=0.05)
    labels = np.array([KNOWN.index(intent) for _, intent in labelled["test"]])
    logits = said["test/logits"]
    assert figures["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean()) and figures["accuracy"] > 0.8
    energy = [torch.from_numpy(said[f"{name}/logits"]).logsumexp(-1).numpy() for name in ("test", "near")]
    truth = np.repeat([1, 0], [len(energy[0]), len(energy[1])])
    assert figures["auroc/energy/near"] == pytest.approx(roc_auc_score(truth, np.concatenate(energy)))
    assert figures["auroc/mahalanobis/near"] > 0.9
    assert figures["auroc/chosen/near"] == figures[f"auroc/{figures['detector']}/near"]
    assert figures["latency/p50"] == pytest.approx(20) and figures["latency/p95"] == pytest.approx(29)
    rows = said["faq/embeddings"]
    index = Index(dict(zip(KNOWN, rows[:3], strict=True)), labelled["train"], said["train/embeddings"])
    similarity = torch.from_numpy(index.similarities(said["test/embeddings"]))
    wanted = [torch.nn.functional.one_hot(torch.tensor(c), 3) for c in labels]
    mrr = np.mean([float(retrieval_reciprocal_rank(s, w)) for s, w in zip(similarity, wanted, strict=True)])
    assert figures["faq/test/mrr"] == pytest.approx(mrr)


def test_test_messages_choose_nothing(three: None) -> None:
    said, labelled, near = arrays(np.random.default_rng(0))
    before = measured(said, labelled, near, KNOWN, 0.05)
    for name in ("test", "near"):
        said[f"{name}/logits"], said[f"{name}/embeddings"] = -said[f"{name}/logits"], -said[f"{name}/embeddings"]
    after = measured(said, labelled, near, KNOWN, 0.05)
    assert after["temperature"] == before["temperature"] and after["detector"] == before["detector"]
    assert after["accuracy"] < before["accuracy"]


def test_the_tables_show_means_and_intervals(three: None) -> None:
    rows: dict[str, list[Any]] = {
        arm: [measured(*arrays(np.random.default_rng(seed), sure), KNOWN, 0.05) for seed in (0, 1, 2)]
        for arm, sure in (("ce", 1.0), ("hybrid", 3.0))
    }
    text = report(
        {"command": "run", "commit": "abc", "seeds": [0, 1, 2], "deployed": "hybrid", "risk": 0.05, "load": [1.0] * 3,
         "arms": rows}
    )  # fmt: skip
    values = np.array([run["accuracy"] for run in rows["ce"]]) * 100
    half = 4.302652729749464 * values.std(ddof=1) / 3**0.5  # Student's t of 2 degrees
    (line,) = [line for line in text.splitlines() if line.startswith("| ce |")][:1]
    assert f"| {values.mean():.1f} ± {half:.1f} |" in line
    assert "### hybrid less the others" in text and text.count("| hybrid |") == 6


def test_each_arm_composes_to_what_fit_reads() -> None:
    given = training.settings()
    for arm in given["arms"]:
        config = training.config_of(arm, 5)
        assert config["seed_everything"] == 5 and config["run"]["name"] == arm
        assert "FOLDER" not in json.dumps(config)
        assert config["data"]["streams"]["messages"]["init_args"]["shots"] == 8
    hybrid = training.config_of("hybrid", 5)
    source = hybrid["data"]["streams"]["unlabelled"]["init_args"]["source"]["init_args"]
    assert source["checkpoint"] == "runs/customer_service/5/teacher/checkpoints/last.ckpt"
    assert hybrid["data"]["streams"]["messages"]["init_args"]["validation"] == 0.1, "merged, not replaced"
