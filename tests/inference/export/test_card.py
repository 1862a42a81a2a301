"""The model card says what the run knows, and nothing else."""

import yaml

from research.inference.export.card import card, licence
from research.inference.export.given import Use

USE = Use("transformers", "text-classification", 'pipeline(model="FOLDER")', "probabilities differ by 1e-07 at most")
CONFIG = {
    "seed_everything": 3,
    "model": {
        "objectives": {
            "ce": {"class_path": "research.objectives.Classification", "init_args": {"stream": "task"}},
            "mlm": {"class_path": "research.objectives.MaskedLM", "init_args": {"stream": "texts"}},
        },
        "weighting": {
            "class_path": "research.weighting.Scheduled",
            "init_args": {"weights": {"mlm": {"start": 1.0, "end": 0.3, "shape": "cosine"}}},
        },
        "teacher": None,
    },
    "data": {
        "streams": {
            "task": {"init_args": {"source": {"class_path": "a.b.CSV", "init_args": {"paths": ["a.csv", "b.csv"]}}}},
            "texts": {"init_args": {"source": {"class_path": "a.b.Folders",
                                               "init_args": {"path": "package:numpy/somewhere"}}}},
        }
    },
}  # fmt: skip
FIT = {"steps": 60, "seconds": 12.4, "peak_memory_gb": 1.5, "data": {"task": {"train": "0123456789abcdef99"}}}
TEST = {
    "test/ce/accuracy": 0.875,
    "test/mlm/perplexity": 12.5,
    "test/forgetting/halves/before": 0.42,
    "test/forgetting/halves/after": 0.35,
    "test/forgetting/halves/change": -0.07,
    "test/forgetting/share_of_run": 0.1,
}


def header(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_what_is_known_is_there(given):
    text = card(CONFIG, FIT, TEST, given("bert", "classify"), USE, "mine")
    facts = header(text)
    assert facts["library_name"] == "transformers" and facts["pipeline_tag"] == "text-classification"
    results = {one["dataset"]["name"]: {m["type"]: m["value"] for m in one["metrics"]}
               for one in facts["model-index"][0]["results"]}  # fmt: skip
    assert results == {"task": {"accuracy": 0.875}, "texts": {"perplexity": 12.5}}
    for line in (
        'pipeline(model="mine")',
        "| ce | Classification | task | 1 |",
        "| mlm | MaskedLM | texts | 1 to 0.3 |",
        "60 steps in 12 s; peak memory 1.50 GB; seed 3.",
        "| task | classify | CSV a.csv, b.csv | not known | 0123456789abcdef |",
        "| halves | 0.42 | 0.35 |",
        "Texts are cut to 40 tokens",
        "3 labels: card, cash, rate",
    ):
        assert line in text, line
    assert "{" not in text.split("## Use")[0].split("---\n")[2]


def test_what_is_not_known_is_left_out(given):
    text = card(CONFIG, {}, {}, given("bert", "classify"), USE, "mine")
    assert "model-index" not in header(text) and "base_model" not in header(text) and "license" not in header(text)
    assert "The run was not tested." in text and "peak memory" not in text and "What it forgot" not in text
    assert "cannot now, was not measured" in text


def test_the_licence_of_a_package_is_that_of_its_metadata(tmp_path):
    assert "BSD" in str(licence("package:numpy/data"))
    assert licence("package:no-such-package") is None and licence(None) is None
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# a model\n")
    assert licence(str(tmp_path)) == "mit"
