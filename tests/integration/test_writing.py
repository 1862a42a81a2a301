"""A run that learns to write: what test measures is what predict writes, for one process and for two."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest

sacrebleu = pytest.importorskip("sacrebleu")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer(program, tmp_path_factory, slices):
    folder = tmp_path_factory.mktemp("writer")
    text = (ROOT / "tests" / "integration" / "writer.yaml").read_text().replace("SLICES", str(slices))
    (folder / "tiny.yaml").write_text(text)
    writer = type(program)(folder)
    assert writer("fit", "writer") == 0
    return writer


def test_figures_are_of_what_predict_writes(writer, slices):
    assert writer("test", "writer", "--ckpt_path", "last") == 0
    assert writer("predict", "writer", "--ckpt_path", "last") == 0
    folder = writer.run_folder("writer")
    figures = json.loads((folder / "test.json").read_text())
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["stream"] == "facts"]
    with (slices / "e2e.csv").open(newline="") as file:
        facts = [row["mr"] for row in csv.DictReader(file)]
    said, gold = {}, defaultdict(list)
    for line in lines:
        source = facts[int(line["where"].rpartition(":")[2]) - 2]
        assert said.setdefault(source, line["text"]) == line["text"]
        gold[source].append(line["gold"])
    assert 1 < len(said) < len(lines), "several targets of one source"
    most = max(map(len, gold.values()))
    columns = [[(gold[source] + [None] * most)[i] for source in said] for i in range(most)]
    chrf = sacrebleu.corpus_chrf(list(said.values()), columns).score
    assert figures["test/generated/chrf"] == pytest.approx(chrf, abs=1e-6) and chrf > 5
    assert figures["test/spans/perplexity"] > 1

    checkpoint = str(folder / "checkpoints" / "last.ckpt")
    ddp = ["--config", str(ROOT / "configs/strategy/ddp.yaml"), "--trainer.devices", "2", "--ckpt_path", checkpoint]
    both = writer.start("test", "writer", *ddp)
    output = both.communicate(timeout=300)[0]
    assert both.returncode == 0, output
    assert json.loads((folder / "test.json").read_text()) == pytest.approx(figures, rel=1e-5)


def test_what_cannot_be_measured(writer, capsys):
    for stream, problem in (("facs", "data.streams has no task 'facs'"), ("sentences", "no task 'sentences'")):
        options = ["--ckpt_path", "last", "--trainer.callbacks.init_args.stream", stream]
        assert writer("test", "writer", *options) == 2
        assert problem in capsys.readouterr().err
