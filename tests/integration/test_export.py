"""``export``: what a user gets from a checkpoint, and is told where there is nothing to get."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from research.checkpoints.reading import load_checkpoint
from research.inference import load
from research.terminal import run_command

ROOT = Path(__file__).parents[2]
TEXTS = ["my card has not come yet", "how much is the exchange rate ?", "cash"]


@pytest.fixture(scope="module")
def run(program):
    few = ["--trainer.max_steps", "6", "--run.checkpoint_every", "6", "--trainer.limit_val_batches", "1"]
    assert program("fit", "given", *few) == 0
    assert program("test", "given", "--ckpt_path", "last", *few) == 0
    return program.run_folder("given")


def export(run, form, folder, *more):
    return run_command(["export", "--ckpt", str(run), "--format", form, "--output", str(folder), *more])


def probabilities(run):
    return [answer["probabilities"] for answer in load(run).predict(TEXTS, "intents")]


def test_a_pipeline_answers_as_the_student(run, tmp_path, capsys):
    out = tmp_path / "students" / "given"
    assert export(run, "transformers", out) == 0
    assert "probabilities of random texts differ from the student's by" in capsys.readouterr().out
    classify = pipeline("text-classification", model=str(out), top_k=None)
    for answer, expected in zip(classify(TEXTS, batch_size=3, truncation=True), probabilities(run), strict=True):
        assert {one["label"]: one["score"] for one in answer} == pytest.approx(expected, abs=1e-5)
    card = (out / "README.md").read_text()
    figures = json.loads((run / "test.json").read_text())
    assert f"| intents | accuracy | {figures['test/ce/accuracy']:.4g} |" in card and 'model="given"' in card
    assert export(run, "transformers", out) == 2
    assert capsys.readouterr().err.endswith(f"error: --output {out}: is there already\n")


def test_a_student_is_made_of_an_exported_language_model(program, run, tmp_path):
    out = tmp_path / "given"
    assert export(run, "transformers", out, "--task", "none") == 0
    state = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    model, loading = AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[f"student.model.{name}"]), name
    given = ["--model.student.architecture", "null", "--model.student.tokenizer", "null", "--model.student.backbone"]
    assert program("fit", "next", *given, str(out), "--model.optimisation.lr", "1e-30", "--trainer.max_steps", "1") == 0
    after = load_checkpoint(program.run_folder("next") / "checkpoints" / "last.ckpt")["state_dict"]
    for name in (name for name in after if name.startswith("student.model.")):
        torch.testing.assert_close(after[name], state[name])


def test_onnx_runtime_answers_as_the_student(run, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "given"
    assert export(run, "onnx", out, "--task", "intents") == 0
    session = onnxruntime.InferenceSession(out / "model.onnx")
    tokenizer = AutoTokenizer.from_pretrained(out)
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    for text, expected in zip(TEXTS, probabilities(run), strict=True):
        assert labels == list(expected)
        batch = tokenizer([text], truncation=True, return_tensors="np")
        (logits,) = session.run(None, {one.name: batch[one.name].astype(np.int64) for one in session.get_inputs()})
        assert torch.from_numpy(logits)[0].softmax(-1).tolist() == pytest.approx(list(expected.values()), abs=1e-4)


def test_what_cannot_be_exported_is_told_in_a_line(run, tmp_path, capsys, monkeypatch):
    def told(form, *more):
        assert export(run, form, tmp_path / "out", *more) == 2
        assert not list(tmp_path.iterdir())
        return capsys.readouterr().err

    assert "--task other: the run has no such task for onnx; give one of intents, none" in told(
        "onnx", "--task", "other"
    )
    assert "not a head, as of intents" in told("gguf", "--task", "intents")
    monkeypatch.setattr("research.inference.export.transformers_folder.WITHIN", 0.0)
    assert "nothing is written" in told("transformers")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'hybrid-fine-tuning[onnx]'" in told("onnx")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "pip install 'hybrid-fine-tuning[gguf]'" in told("gguf")


FRESH = """
import json, sys
from transformers import pipeline
assert "research" not in sys.modules
print(json.dumps(pipeline("text-classification", model=sys.argv[1], top_k=None)(json.loads(sys.argv[2]))))
"""


@pytest.mark.slow  # it installs torch and Transformers
def test_a_fresh_environment_needs_transformers_alone(run, tmp_path):
    out = tmp_path / "given"
    assert export(run, "transformers", out) == 0
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "fresh")], check=True)
    python = str(tmp_path / "fresh" / "bin" / "python")
    line = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), "torch", "transformers"]
    subprocess.run(line, check=True, timeout=1800)
    answered = subprocess.run(
        [python, "-c", FRESH, str(out), json.dumps(TEXTS)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    answers = json.loads(answered.stdout.splitlines()[-1])
    for answer, expected in zip(answers, probabilities(run), strict=True):
        assert {one["label"]: one["score"] for one in answer} == pytest.approx(expected, abs=1e-5)
