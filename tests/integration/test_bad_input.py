"""Bad input: one line that names the key, or the file and line; exit status 2; nothing half-written is left."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from research.config_settings import settings_of
from research.terminal import run_command

BASE = """
seed_everything: 3
model:
  student:
    architecture: {model_type: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
                   intermediate_size: 16, max_position_embeddings: 64}
    tokenizer:
      source: {class_path: research.data.sources.TextFiles, init_args: {paths: text.txt}}
      vocab_size: 400
  objectives:
    mlm: {class_path: research.objectives.MaskedLM, init_args: {stream: wiki}}
    nce: {class_path: research.objectives.Contrastive, init_args: {stream: wiki}}
    ce: {class_path: research.objectives.Classification, init_args: {stream: intents}}
  optimisation: {lr: 1.0e-3}
data:
  streams:
    wiki:
      class_path: research.data.CorpusDataModule
      init_args:
        source: {class_path: research.data.sources.TextFiles, init_args: {paths: text.txt}}
        batch_size: 4
        max_length: 32
    intents:
      class_path: research.data.TaskDataModule
      init_args:
        source: {class_path: research.data.sources.CSV, init_args: {paths: task.csv, text: text, label: category}}
        batch_size: 4
        max_length: 64
trainer: {max_steps: 2, enable_progress_bar: false, accelerator: cpu}
run: {wandb: disabled}
"""
NCE = "--model.objectives.nce.init_args"
WIKI, INTENTS = "--data.streams.wiki.init_args", "--data.streams.intents.init_args"
PATHS = "source.init_args.paths"
TEACHER = ["--model.teacher", "research.models.LiveTeacher", "--model.teacher.init_args.backbone"]

Refuse = Callable[..., str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, slices: Path) -> Path:
    """A folder with a config, base.yaml, and the two small files that it trains on."""
    folder = tmp_path_factory.mktemp("files")
    text = (slices / "wikitext.txt").read_text(encoding="utf-8")
    (folder / "text.txt").write_text(text[: text.index("\n", 12_000) + 1], encoding="utf-8")
    shutil.copy(slices / "banking77" / "train.csv", folder / "task.csv")
    (folder / "base.yaml").write_text(BASE)
    return folder


@pytest.fixture
def project(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of these files in the working directory."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def two_steps(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of a run of two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(files)
        folder = tmp_path_factory.mktemp("two_steps")
        assert run_command(["fit", "--config", "base.yaml", "--run.folder", str(folder)]) == 0
    return folder


@pytest.fixture
def checkpoint(two_steps: Path, project: Path) -> Path:
    """Its checkpoint, in a copy in the working directory."""
    shutil.copytree(two_steps, "runs")
    return Path("runs/base/checkpoints/last.ckpt")


@pytest.fixture
def refuse(project: Path, cache_home: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs ``fit --config base.yaml`` with further arguments, which must be refused; gives the message."""

    def call(*arguments: str, kept: tuple[str, ...] = ()) -> str:
        status = run_command(["fit", "--config", "base.yaml", *arguments])
        told = capsys.readouterr().err
        assert status == 2, told
        assert told.startswith("error: ") and told.count("\n") == 1, told
        assert sorted(path.name for path in Path("runs").glob("*")) == sorted(kept)
        whole(cache_home)
        return told.removeprefix("error: ").rstrip()

    return call


def whole(cache: Path) -> None:
    """All in the cache is there in full: tables, the locks beside them, and folders of tokenizers."""
    folder = cache / "hybrid-fine-tuning"
    shards = [path for path in folder.glob("tokens/*/*")]
    assert all(path.suffix == ".arrow" or path.name == "manifest.json" for path in shards)
    assert {path.parent for path in shards} == {path for path in folder.glob("tokens/*") if path.is_dir()}
    trained = [path for path in folder.glob("tokenizers/*") if path.is_dir()]
    assert all((path / "tokenizer.json").stat().st_size for path in trained)
    assert all((path.parent / f"{path.name}.lock").exists() for path in trained)


OF_STREAM = "data: {streams: {wiki: {class_path: research.data.CorpusDataModule, init_args: {%s}}}}"
OF_NCE = "model: {objectives: {nce: {class_path: research.objectives.Contrastive, init_args: {stream: wiki, %s}}}}"
A_SOURCE = "source: {class_path: research.data.sources.TextFiles, init_args: {%s: text.txt}}"


BAD_FILES = {
    "wrong key": (
        OF_NCE % "temprature: 3",
        "1: model.objectives.nce.init_args.temprature: not accepted; did you mean temperature?",
    ),
    "wrong key of a source": (
        "\n" + OF_STREAM % (A_SOURCE % "pathz"),
        "2: data.streams.wiki.init_args.source.init_args.pathz: not accepted; did you mean paths?",
    ),
    "wrong key of the trainer": (
        "trainer: {max_stepz: 3}",
        "1: trainer.max_stepz: not accepted; did you mean trainer.max_steps?",
    ),
    "wrong key of the optimiser": (
        "model:\n  optimisation:\n    lrr: 3",
        "3: model.optimisation.lrr: not accepted; did you mean lr?",
    ),
    "wrong key at the top": ("modell: {seed: 3}", "1: modell.seed: not accepted; did you mean model.seed?"),
    "wrong type": (
        OF_STREAM % (A_SOURCE % "paths" + ", batch_size: many"),
        "1: data.streams.wiki.init_args.batch_size: must be int, not 'many'",
    ),
    "wrong type in a list": (
        "model: {optimisation: {betas: [0.9, x]}}",
        "1: model.optimisation.betas[1]: must be float, not 'x'",
    ),
    "wrong class path": (
        "model: {objectives: {nce: {class_path: research.objectives.Contrastiv}}}",
        "1: model.objectives.nce.class_path: research.objectives has no Contrastiv; did you mean Contrastive?",
    ),
    "wrong class of a callback": (
        "trainer:\n  callbacks:\n  - class_path: research.callbacks.Nope",
        "3: trainer.callbacks[0].class_path: research.callbacks has no Nope; "
        "there is CrowsPairs, ExampleLosses, FirstOrderMAML, Footprint, Forgetting, GeneratedText, GroupGaps, "
        "GroupProjection, LayerSimilarity, LossGuard, ObjectiveGradients, Reptile, SentenceSimilarity, Sparsity, "
        "TrainingDynamics, Transfer, WeightAverage, WiSEFT",
    ),
    "wrong module": (
        "model: {objectives: {nce: {class_path: reserch.objectives.Contrastive}}}",
        "1: model.objectives.nce.class_path: No module named 'reserch'",
    ),
    "class of another kind": (
        "model: {objectives: {nce: {class_path: research.models.Student}}}",
        "1: model.objectives.nce.class_path: Import path research.models.Student does not correspond to a "
        "subclass of Objective",
    ),
    "class without its module": (
        "model: {objectives: {nce: Contrast}}",
        "1: model.objectives.nce: 'Contrast' is no class; write its full path, such as research.objectives.MaskedLM",
    ),
    "key that a class needs": (
        "model: {objectives: {kd: {class_path: research.objectives.Distillation}}}",
        "1: model.objectives.kd: Distillation needs stream",
    ),
    "no class": (
        "model:\n  objectives:\n    kd: {stream: wiki}",
        "3: model.objectives.kd: needs the class_path of its Objective",
    ),
    "no YAML": ("trainer:\n  max_steps: [3", "2: no YAML: expected ',' or ']', but got '<stream end>'"),
    "tab": ("trainer:\n\tmax_steps: 3", "2: no YAML: found character '\\t' that cannot start any token"),
    "a list": ("- 3", " holds no keys"),
    "empty file": ("", " holds no keys; the file is empty"),
    "key twice": (
        "trainer: {max_steps: 3}\ntrainer:\n  max_steps: 4",
        "2: trainer: given twice in one mapping; keep one of the two",
    ),
    "key twice, deeper": (
        "model:\n  optimisation: {lr: 1.0e-3,\n    lr: 1.0e-4}",
        "3: model.optimisation.lr: given twice in one mapping; keep one of the two",
    ),
    "no number": (
        "\nmodel: {optimisation: {lr: .nan}}",
        "2: model.optimisation.lr is .nan; it must be a finite number",
    ),
    "object of Python": (
        "trainer: !!python/object:os.system {}",
        "1: trainer: tag:yaml.org,2002:python/object:os.system is no tag of plain YAML; "
        "name an object by its class_path",
    ),
    "nothing for an objective": (
        "model:\n  objectives:\n    nce:",
        "2: model.objectives: needs the class_path of its Objective",
    ),
    "not UTF-8": ("seed_everything: 3\n# \xe9", "2: not UTF-8 at byte 21 of the file"),
}


@pytest.mark.parametrize(("text", "told"), BAD_FILES.values(), ids=BAD_FILES)
def test_config_file_names_line_and_key(text: str, told: str, refuse: Refuse) -> None:
    Path("more.yaml").write_bytes(text.encode("latin-1"))
    assert refuse("--config", "more.yaml") == f"more.yaml:{told}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([f"{NCE}.temprature", "4"], f"{NCE[2:]}.temprature: not accepted; did you mean temperature?"),
        ([f"{NCE}.temperature=x"], "model.objectives.nce.init_args.temperature: must be float, not 'x'"),
        ([f"{WIKI}.batch_size", "x"], "data.streams.wiki.init_args.batch_size: must be int, not 'x'"),
        (["--data.streams.a.init_args.batch_size", "x"], "data.streams.a.init_args.batch_size: must be int, not 'x'"),
        (["--trainer.max_stepz", "3"], "trainer.max_stepz: not accepted; did you mean trainer.max_steps?"),
        (["--trainer.max_step", "3"], "trainer.max_step: not accepted; did you mean trainer.max_steps?"),
        (["--trainer.max_epochs", "x"], "trainer.max_epochs: must be int or null, not 'x'"),
        (["--trainer.max_steps"], "--trainer.max_steps: expected one argument"),
        (["--run.wandb", "x"], "run.wandb: must be one of 'offline', 'online', 'disabled', not 'x'"),
        (["--config", "{model: {optimisation: {lrr: 3}}}"], "model.optimisation.lrr: not accepted; did you mean lr?"),
        (["--without", "nce"], "without: must be list, not 'nce'; write [nce]"),
        (["--config"], "--config: expected one argument"),
        (["--config", "nofile.yaml"], "nofile.yaml: no such file"),
        (["--config", "."], ".: Is a directory"),
        (["swift"], "swift: not accepted"),
    ],
)  # fmt: skip
def test_option_names_key(arguments: list[str], told: str, refuse: Refuse) -> None:
    assert refuse(*arguments) == told


def test_required_keys_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["fit", "--model.student.backbone", "x"]) == 2
    assert capsys.readouterr().err == "error: missing in the config: model.objectives, data.streams\n"


SCHEDULE, WEIGHTS = "--model.optimisation.schedule", "--model.weighting.init_args.weights"
SAMPLED = ["--data.mixture", "research.data.Sampled", "--data.mixture.init_args.probabilities"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model.optimisation.lr", "-1"], "model.optimisation.lr is -1.0; it must be greater than 0"),
        (
            [f"{SCHEDULE}.class_path", "research.schedules.Linear", f"{SCHEDULE}.init_args.warmup", "2.0"],
            "model.optimisation.schedule: warmup is 2.0; give a share in [0, 1) or whole steps >= 0",
        ),
        (
            ["--model.weighting", "research.weighting.Scheduled", WEIGHTS, "{nce: {start: -1}}"],
            "model.weighting.init_args.weights.nce: a ramp from -1.0 to 0.0; both must be at least 0 and finite",
        ),
        (
            ["--model.weighting", "research.weighting.Fixed", WEIGHTS, "{nope: 1}"],
            "model.weighting.weights.nope: no such objective; there are mlm, nce, ce",
        ),
        ([f"{NCE}.temperature", "-1"], "model.objectives.nce: temperature is -1.0; it must be above 0"),
        ([f"{INTENTS}.batch_size", "0"], "data.streams.intents: batch_size is 0; it must be at least 1"),
        (["--seed_everything", "-5"], "seed_everything is -5; it must be at least 0 and below 2^32"),
        (["--trainer.max_steps", "0"], "trainer.max_steps is 0; it must be above 0, or -1 for no end"),
        (["--trainer.devices", "-3"], "trainer: `devices` selected with `CPUAccelerator` should be an int > 0."),
        (
            [f"{WIKI}.source.init_args.encoding", "utf-16"],
            "text.txt: not utf-16 (UTF-16 stream does not start with BOM); name the file's own `encoding`",
        ),
        (["--run.checkpoint_every", "0"], "run.checkpoint_every is 0; it must be at least 1"),
        ([*SAMPLED, "{wiki: 1}"], "data.mixture: probabilities name ['wiki'], data.streams has ['intents', 'wiki']"),
        (
            [*SAMPLED, "{wiki: 1, intents: {start: -1}}"],
            "data.mixture.init_args.probabilities.intents: a ramp from -1.0 to 0.0; both must be at least 0 and finite",
        ),
        (
            ["--data.mixture", "research.data.sampling.Temperature", "--data.mixture.init_args.temperature", "0"],
            "data.mixture: temperature is 0.0; it must be above 0 and finite",
        ),
        (
            ["--data.mixture", "research.data.sampling.LossDriven", "--data.mixture.init_args.reference", "{wiki: 1}"],
            "data.mixture: reference name ['wiki'], data.streams has ['intents', 'wiki']",
        ),
        (
            ["--data.streams.wiki.init_args.curriculum", "{batches: 0}"],
            "data.streams.wiki.init_args.curriculum: batches is 0; it must be at least 1",
        ),
        (["--trainer.accelerator", "gpu", "--trainer.devices", "99"], "trainer: "),
    ],
)  # fmt: skip
def test_value_out_of_range_names_key(arguments: list[str], told: str, refuse: Refuse) -> None:
    message = refuse(*arguments)
    assert message.startswith(told) if told.endswith(" ") else message == told


def test_keys_that_yaml_may_repeat(project: Path) -> None:
    """A key of the same name elsewhere, and mappings that are merged."""
    Path("more.yaml").write_text("a: &a {lr: 1, b: 2}\nc: {<<: *a, lr: 3}\nd:\n- {lr: 4}\n- {lr: 5}\n")
    found = {s.key: s.value for s in settings_of(["fit", "--config", "more.yaml"]) if s.value}
    assert found == {"a.lr": "1", "a.b": "2", "c.lr": "3", "c.b": "2", "d[0].lr": "4", "d[1].lr": "5"}


def test_one_callback_needs_no_list(project: Path) -> None:
    arguments = ["--trainer.callbacks", "research.callbacks.LossGuard", "--trainer.max_steps", "1"]
    assert run_command(["fit", "--config", "base.yaml", *arguments]) == 0


def test_unknown_stream(refuse: Refuse) -> None:
    told = refuse("--model.objectives.nce.init_args.stream", "news")
    assert told == "model.objectives.nce: no stream is called 'news'; data.streams has wiki, intents"


def test_masked_lm_on_gpt2(refuse: Refuse) -> None:
    gpt2 = "{model_type: gpt2, n_embd: 16, n_layer: 1, n_head: 2, n_positions: 64}"
    told = refuse("--model.student.architecture", gpt2, "--model.student.tokenizer.kind", "bpe")
    assert told == (
        "model.objectives.mlm: MaskedLM has no meaning for a student of the decoder family; it serves encoder"
    )


def test_packing_for_a_model_that_would_look_across(refuse: Refuse) -> None:
    pack, told = f"{WIKI}.pack", "data.streams.wiki.init_args.pack"
    assert refuse(pack, "true") == f"{told}: must be 'best_fit' or 'stream' or null, not 'True'"
    small = "hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16"
    student = ["--model.student.architecture", f"{{model_type: deberta-v2, {small}}}"]
    told += ": best_fit is not known to keep documents apart in"
    assert refuse(*student, pack, "best_fit").startswith(f"{told} deberta-v2, which model.student is; it serves bert, ")
    Path("other").mkdir()
    Path("other/config.json").write_text('{"model_type": "mpnet", "pad_token_id": 1}')
    message = refuse(*TEACHER, "./other", pack, "best_fit")
    assert message.startswith(f"{told} mpnet, which model.teacher is; it serves bert, ")


def test_label_not_seen_in_training(refuse: Refuse) -> None:
    Path("held.csv").write_text("text,category\nwhere is my card,age_limit\nwhere am I,lost\n")
    source = "{class_path: research.data.sources.CSV, init_args: {paths: held.csv, text: text, label: category}}"
    told = refuse(f"{INTENTS}.validation", source)
    assert told.startswith("held.csv:3: label 'lost' was not seen in training; known: activate_my_card, ")


@pytest.mark.parametrize(
    ("content", "option", "told"),
    [
        ("", f"{INTENTS}.{PATHS}", ": no records in this file"),
        ("", f"{WIKI}.{PATHS}", ": no records in this file"),
        ("text,category\nhow old,age_limit\nonly a text\n", f"{INTENTS}.{PATHS}", ":3: 1 columns, where exactly 2"),
        ('text,category\nhow old,age_limit\n"how old,a\n', f"{INTENTS}.{PATHS}", ":3: a quote in this row"),
        ("un\n\ndeux\n\ntrois \xe9t\xe9s\n", f"{WIKI}.{PATHS}", ":5: not utf-8 at byte 16 of the file"),
    ],
)  # fmt: skip
def test_broken_file_names_file_and_line(content: str, option: str, told: str, refuse: Refuse) -> None:
    Path("broken").write_bytes(content.encode("latin-1"))
    assert refuse(option, "broken").startswith(f"broken{told}")


def test_text_longer_than_the_model_takes(refuse: Refuse) -> None:
    header, *rows = Path("task.csv").read_text().splitlines()
    Path("long.csv").write_text("\n".join([header, *rows[:3], f"{'how old ' * 99},age_limit", *rows[3:]]))
    # This is found when the run has a folder already, in which W&B has begun to write: it is removed again.
    told = refuse(f"{INTENTS}.{PATHS}", "long.csv", f"{INTENTS}.max_length", "null", "--run.wandb", "offline")
    advice = "set data.streams.intents.init_args.max_length to cut longer texts"
    assert re.fullmatch(rf"long.csv:5: the text has \d+ tokens, the student takes 62; {advice}", told)


def test_file_that_is_missing(refuse: Refuse) -> None:
    assert refuse(f"{WIKI}.{PATHS}", "none.txt") == "paths: none.txt: no such file"


@pytest.mark.parametrize(
    ("backbone", "told"),
    [
        ("/none/at/all", "backbone /none/at/all: no such folder"),
        ("package:none-such", "backbone package:none-such: the package is not installed; run: pip install none-such"),
    ],
)  # fmt: skip
def test_model_that_is_missing(backbone: str, told: str, refuse: Refuse) -> None:
    assert (
        refuse("--model.teacher", "research.models.LiveTeacher", "--model.teacher.init_args.backbone", backbone) == told
    )


def test_hub_out_of_reach_is_one_line(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub's client waits before it tries again
    told = refuse(*TEACHER, "none/such")
    assert told.startswith("backbone none/such: cannot be loaded as a hub name or folder (")


def test_checkpoint_that_is_not_there(refuse: Refuse) -> None:
    assert refuse("--ckpt_path", "last") == "--ckpt_path last: no checkpoint of a run named 'base' under runs/"
    assert refuse("--ckpt_path", "none.ckpt") == "--ckpt_path none.ckpt: no such file"


def test_checkpoint_that_does_not_fit(checkpoint: Path, refuse: Refuse) -> None:
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}

    def told(path: str, *arguments: str) -> str:
        return refuse("--ckpt_path", path, *arguments, kept=("base",))

    assert told("runs/base/checkpoints") == (
        "--ckpt_path runs/base/checkpoints: a folder; name a file, such as runs/base/checkpoints/last.ckpt"
    )
    other = f"--ckpt_path {checkpoint}: made with another config: "
    assert told("last", "--model.optimisation.lr", "0.5") == f"{other}model.optimisation.lr is 0.001 there and 0.5 here"
    assert told("last", f"{WIKI}.batch_size", "5") == f"{other}{WIKI[2:]}.batch_size is 4 there and 5 here"
    Path("torn.ckpt").write_bytes(checkpoint.read_bytes()[:50_000])
    assert told("torn.ckpt").startswith("--ckpt_path torn.ckpt: not a readable checkpoint (")
    assert told("runs/base") == f"--ckpt_path runs/base: a folder; name a file, such as {checkpoint}"
    Path("pieces").mkdir()
    Path("pieces/meta.pt").write_bytes(b"")
    assert told("pieces") == (
        "--ckpt_path pieces: a checkpoint in shards, which only the strategy that wrote it reads; make one file of it: "
        "python -m research.cli checkpoint consolidate pieces --output FILE"
    )
    torch.save({"state_dict": {}}, "other.ckpt")
    assert told("other.ckpt") == "--ckpt_path other.ckpt: not a checkpoint of this program"
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["predict", "--ckpt", "runs/base", "--inptu", "text.txt"], "inptu: not accepted; did you mean input?"),
        (["predict", "--ckpt", "runs/base", "--tokens", "many"], "--tokens: must be int, not 'many'"),
        (["report"], "missing: RUN; see python -m research.cli report --help"),
        (["average", "none.ckpt", "--output", "soup.ckpt"], "CHECKPOINT none.ckpt: no such file"),
        (
            ["compress", "--ckpt", "runs/base", "--output", "small"],
            "data.streams.intents.init_args.validation: the run has set no texts apart for validation",
        ),
        (["plan", "--config", "base.yaml", "--price", "-1"], "--price is -1.0; it must be at least 0"),
        (
            ["init", "--task", "task.csv", "--text", "category", "--label", "category"],
            "--text and --label: name the same column, category; give each its own",
        ),
        (
            ["data", "inspect", "--config", "base.yaml", f"{INTENTS}.{PATHS}", "twice.csv"],
            "twice.csv:1: 2 columns are called 'text'; give each a name of its own",
        ),
    ],
)  # fmt: skip
def test_other_commands(arguments: list[str], told: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("twice.csv").write_text("text,text,category\nwhere is it,who am I,lost\nsome words,more,found\n")
    before = sorted(Path(".").iterdir())
    assert run_command(arguments) == 2
    assert capsys.readouterr().err == f"error: {told}\n"
    assert sorted(Path(".").iterdir()) == before


def test_traceback_when_asked_for(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_TRACEBACK", "1")
    assert run_command(["fit", "--config", "base.yaml", "--model.optimisation.lr", "-1"]) == 2
    told = capsys.readouterr().err
    assert "Traceback" in told and told.endswith("error: model.optimisation.lr is -1.0; it must be greater than 0\n")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a disk that fills up while it is written."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_cache_that_cannot_be_written(
    two_steps: Path, refuse: Refuse, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "new")
    tokenizers = "hybrid-fine-tuning/tokenizers"
    with largest_file(8_000):
        assert refuse().startswith("a file of the run or of the cache: File too large; make room")
    assert not [path for path in Path("new", tokenizers).iterdir() if path.is_dir()]
    shutil.copytree(cache_home / tokenizers, Path("new", tokenizers), dirs_exist_ok=True)
    with largest_file(8_000):
        told = refuse()
    assert told.startswith("cannot write the cache in new/hybrid-fine-tuning/tokens (")
    assert told.endswith("File too large; set data.cache to a folder with room")
    whole(Path("new"))
    assert not list(Path("new").rglob("*.arrow"))


def test_checkpoint_that_cannot_be_written(checkpoint: Path, refuse: Refuse) -> None:
    before = checkpoint.read_bytes()
    with largest_file(len(before) // 2):
        told = refuse("--ckpt_path", "last", "--trainer.max_steps", "4", kept=("base",))
    assert told.startswith(f"{checkpoint}: the checkpoint cannot be written (")
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


def program(*arguments: str, shell: str = '"$@"', wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the program as a user does, as ``"$@"`` of some lines of shell."""
    return subprocess.run(
        [*wrapper, "sh", "-c", shell, "sh", sys.executable, "-m", "research.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )


def test_wrong_key_as_a_user_meets_it(project: Path) -> None:
    done = program("fit", "--config", "base.yaml", f"{NCE}.temprature", "4")
    assert (done.returncode, done.stdout) == (2, "")
    told = "model.objectives.nce.init_args.temprature: not accepted; did you mean temperature?"
    assert done.stderr == f"error: {told}\n"
    assert not Path("runs").exists()


def test_loss_that_is_not_finite_as_a_user_meets_it(project: Path) -> None:
    arguments = ["--model.optimisation.lr", "1e30", "--trainer.max_steps", "9", "--run.checkpoint_every", "1"]
    done = program("fit", "--config", "base.yaml", *arguments, "--run.wandb", "offline")
    assert done.returncode == 2
    assert done.stderr.startswith("error: step 3: the loss of mlm, nce, ce is not finite; lower model.optimisation.lr")
    assert done.stderr.count("\n") == 1
    saved = torch.load("runs/base/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(value.isfinite().all() for value in saved["state_dict"].values())
    assert "nan" not in Path("runs/base/metrics.csv").read_text()
    assert len(list(Path("runs/base/wandb").glob("offline-run-*"))) == 1


def test_full_disk_as_a_user_meets_it(project: Path) -> None:
    if sys.platform != "linux" or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs a file system of its own: Linux user namespaces, which this machine does not allow")
    Path("small").mkdir()
    arguments = ["--run.folder", "small", "--run.checkpoint_every", "1", "--trainer.max_steps", "9"]
    done = program(
        *("fit", "--config", "base.yaml", *arguments),
        shell='mount -t tmpfs -o size=200k none small && "$@"; status=$?; find small -type f; exit $status',
        wrapper=("unshare", "-Urm"),
    )
    assert done.returncode == 2
    *warnings, error = done.stderr.splitlines()
    told = "small/base/checkpoints/last.ckpt: the checkpoint cannot be written (No space left on device; "
    assert error.startswith(f"error: {told}")
    assert len(warnings) == 7 and all(line.startswith(told) for line in warnings)  # steps 2 to 8
    left = {line for line in done.stdout.splitlines() if line.startswith("small/base/") and " " not in line}
    assert left == {f"small/base/{name}" for name in ("checkpoints/last.ckpt", "config.yaml", "metrics.csv")}
