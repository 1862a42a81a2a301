"""The commands as a user types them."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from transformers import BertConfig, BertModel

from research.data.sources import TextFiles
from research.models import TrainedTokenizer

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "research.cli", *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


def test_help_loads_nothing_heavy():
    """The time limits of --help hold by a wide margin as long as no heavy library is imported."""
    code = "import sys, research.cli; print(sorted({'torch', 'lightning', 'transformers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"
    shown = run("--help")
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in ("fit", "validate", "test", "predict", "report"))


@pytest.mark.parametrize(
    "command",
    ["report", "ablate", "errors", "average", "predict", "export", "compress", "explain", "checkpoint consolidate"],
)
def test_help_of_other_commands_loads_nothing_heavy(command):
    code = f"""import sys, research.cli
sys.argv = ["research.cli", *"{command}".split(), "--help"]
try:
    research.cli.main()
except SystemExit as end:
    print(end.code, sorted({{'torch', 'lightning', 'transformers', 'matplotlib'}} & set(sys.modules)))"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.startswith(f"usage: python -m research.cli {command}") and out.stdout.endswith("\n0 []\n")


def test_help_of_fit():
    started = time.monotonic()
    shown = run("fit", "--help")
    assert shown.returncode == 0 and "--model.objectives" in shown.stdout and "--run.name" in shown.stdout
    print(f"fit --help took {time.monotonic() - started:.1f} s")


def test_no_such_command():
    shown = run("fti")
    assert shown.returncode == 2 and shown.stderr.startswith("error: no command 'fti'")


def test_fit_test_predict_report(program, capsys):
    assert program("fit", "flow") == 0
    assert program("validate", "flow", "--ckpt_path", "last") == 0
    assert program("test", "flow", "--ckpt_path", "last") == 0
    assert program("predict", "flow", "--ckpt_path", "last") == 0
    folder = program.run_folder("flow")
    figures = json.loads((folder / "test.json").read_text())
    predictions = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == 50

    import csv

    with (ROOT / "tests/data/slices/banking77/test.csv").open(newline="") as file:
        truth = [row["category"] for row in csv.DictReader(file)]
    right = sum(p["label"] == t for p, t in zip(predictions, truth, strict=True))
    assert right / 50 == pytest.approx(figures["test/ce/accuracy"])
    assert [p["gold"] for p in predictions] == truth
    assert all(abs(sum(p["probabilities"].values()) - 1) < 1e-5 for p in predictions)

    capsys.readouterr()
    from research.terminal import run_command

    assert run_command(["report", str(folder)]) == 0
    table = capsys.readouterr().out
    assert "ce/accuracy" in table and "--ckpt_path" in table
    assert (folder / "loss_curves.png").read_bytes().startswith(b"\x89PNG")


def test_quiet_says_nothing_and_json_is_json_alone(program, capfd):
    from research.terminal import run_command

    short = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
    capfd.readouterr()
    assert program("fit", "hush", *short, "--trainer.enable_progress_bar", "true", "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    folder = program.run_folder("hush")
    for command, name in (("validate", "validation"), ("test", "test")):
        assert program(command, "hush", *short, "--ckpt_path", "last", "--json") == 0
        out, err = capfd.readouterr()
        assert (json.loads(out), err) == (json.loads((folder / f"{name}.json").read_text()), "")
    assert "quiet" not in (folder / "config.yaml").read_text()
    assert run_command(["report", str(folder), "--json"]) == 0
    out, err = capfd.readouterr()
    figures = json.loads((folder / "test.json").read_text())
    assert json.loads(out)["runs"]["hush"]["ce/accuracy"] == figures["test/ce/accuracy"] and err == ""


def test_a_packed_corpus_trains_and_each_window_gets_its_embedding(program):
    """Masked LM and contrastive learning on packed rows; what pools gives one answer a text, not one a row."""
    more = ["--data.streams.wiki.init_args.pack", "best_fit", "--data.streams.wiki.init_args.test", "0.3",
            "--trainer.max_steps", "3"]  # fmt: skip
    assert program("fit", "packed", *more) == 0
    assert program("test", "packed", *more, "--ckpt_path", "last") == 0
    figures = json.loads((program.run_folder("packed") / "test.json").read_text())
    assert 0 < figures["test/mlm/loss"] < 10 and 0 < figures["test/nce/loss"] < 10
    assert program("predict", "packed", *more, "--ckpt_path", "last") == 0
    lines = (program.run_folder("packed") / "predictions.jsonl").read_text().splitlines()
    wiki = [row for row in map(json.loads, lines) if row["stream"] == "wiki"]
    places = [row["where"] for row in wiki]
    assert len(set(places)) > 5 and places == sorted(places, key=lambda place: int(place.rpartition(":")[2]))
    assert len({tuple(row["embedding"]) for row in wiki}) == len(wiki)


def test_a_curriculum_reads_the_losses_that_a_run_writes(program, slices, capsys):
    """A trained run tells how hard each training example was; the next one begins with the easiest."""
    write = ["--trainer.callbacks+=research.callbacks.ExampleLosses", "--trainer.callbacks.objective"]
    assert program("fit", "losses") == 0
    assert program("test", "losses", "--ckpt_path", "last", *write, "ce") == 0
    path = program.run_folder("losses") / "losses.jsonl"
    losses = {row["where"]: row["loss"] for row in map(json.loads, path.read_text().splitlines())}
    assert program("test", "losses", "--ckpt_path", "last", *write, "cee") == 2
    assert "no objective 'cee'; there are mlm, nce, ce" in capsys.readouterr().err

    checkpoint = torch.load(program.run_folder("losses") / "checkpoints" / "last.ckpt", weights_only=True)
    state, labels = checkpoint["state_dict"], checkpoint["hybrid"]["streams"]["intents"]["labels"]
    tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=600).load()
    student = yaml.safe_load((program.folder / "tiny.yaml").read_text())["model"]["student"]
    config = BertConfig(**student["architecture"], vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    bert, start = BertModel(config, add_pooling_layer=False).eval(), "student.model.bert."
    bert.load_state_dict({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
    weight, bias = (state[f"student.heads.intents.1.{name}"] for name in ("weight", "bias"))
    table = slices / "banking77" / "train.csv"
    with table.open(newline="") as file:
        rows = {f"{table}:{number}": row for number, row in enumerate(csv.DictReader(file), 2)}
    assert len(losses) > 30 and losses.keys() <= rows.keys()
    for where in list(losses)[:20]:
        words = tokenizer(rows[where]["text"]).input_ids[:30]
        ids = [tokenizer.cls_token_id, *words, tokenizer.sep_token_id]
        with torch.no_grad():
            logits = bert(torch.tensor([ids])).last_hidden_state.mean(1) @ weight.T + bias
        expected = -logits.log_softmax(-1)[0, labels.index(rows[where]["category"])].item()
        assert losses[where] == pytest.approx(expected, abs=1e-4)
    more = ["--data.streams.intents.init_args.curriculum", f"{{batches: 20, losses: '{path}'}}"]
    assert program("fit", "taught", *more, "--trainer.max_steps", "3") == 0


def test_runs_of_one_process_leave_nothing_behind(program):
    """Not even past the collector, which passes over what was frozen: models would pile up."""
    import gc

    from research.models import Student

    gc.collect()
    gc.unfreeze()
    before = sum(isinstance(o, Student) for o in gc.get_objects())
    for _ in range(3):
        assert program("fit", "many", "--trainer.max_steps", "1") == 0
    gc.collect()
    gc.unfreeze()
    assert sum(isinstance(o, Student) for o in gc.get_objects()) <= before


def test_the_saved_config_repeats_the_run(program):
    assert program("fit", "first") == 0
    saved = program.run_folder("first") / "config.yaml"
    from research.run import CHOSEN
    from research.terminal import run_command

    os.environ.pop(CHOSEN, None)
    assert run_command(["fit", "--config", str(saved), "--run.name", "second"]) == 0
    assert program.log("second") == program.log("first")


def test_a_new_run_never_overwrites_an_old_one(program):
    more = ["--trainer.max_steps", "2"]
    assert program("fit", "twice", *more) == 0
    before = (program.run_folder("twice") / "metrics.csv").read_bytes()
    assert program("fit", "twice", *more) == 0
    assert (program.run_folder("twice") / "metrics.csv").read_bytes() == before
    assert (program.run_folder("twice-2") / "checkpoints" / "last.ckpt").exists()


def test_configs_compose_and_every_key_can_be_overridden(program, tmp_path):
    (tmp_path / "longer.yaml").write_text("trainer: {max_steps: 77}\nrun: {tags: [long]}\n")
    shown = run(
        *program.arguments("fit", "composed", "--config", str(tmp_path / "longer.yaml")),
        "--model.objectives.nce.init_args.temperature",
        "0.2",
        "--print_config",
    )
    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)
    assert config["trainer"]["max_steps"] == 77
    assert config["model"]["objectives"]["nce"]["init_args"]["temperature"] == 0.2
    assert config["model"]["objectives"]["mlm"]["init_args"]["probability"] == 0.15
    assert config["run"]["tags"] == ["long"]


@pytest.mark.parametrize("recipe", ["quickstart", "bert", "gpt2", "t5", "waimai"])
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("piece", ["strategy/ddp", "logger/tensorboard"])
def test_every_recipe_resolves(recipe, twin, piece, capsys):
    """All keys and classes of the recipes exist, and the pieces compose with them."""
    from research.terminal import run_command

    files = [f"configs/{recipe}.yaml", *([f"configs/ce_only/{recipe}.yaml"] if twin else []), f"configs/{piece}.yaml"]
    arguments = [part for name in files for part in ("--config", str(ROOT / name))]
    assert run_command(["fit", *arguments, "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert set(config["model"]["weighting"]["init_args"]["weights"]) <= set(config["model"]["objectives"])


@pytest.mark.parametrize("recipe", ["real_sources", "continual"])
def test_recipes_without_a_twin_resolve(recipe, capsys):
    from research.terminal import run_command

    assert run_command(["fit", "--config", str(ROOT / f"configs/{recipe}.yaml"), "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    streams = {objective["init_args"]["stream"] for objective in config["model"]["objectives"].values()}
    assert streams == set(config["data"]["streams"])


def test_adversarial_losses_of_examples(program):
    """FreeLB within a radius of nothing gives the plain losses, within a large one larger ones; SMART is above 0."""
    assert program("fit", "attacked", "--trainer.max_steps", "5") == 0
    write = ["--trainer.callbacks+=research.callbacks.ExampleLosses", "--trainer.callbacks.objective", "ce"]

    def losses(objective):
        more = ["--model.objectives.ce", f"{{class_path: research.objectives.{objective}}}", "--ckpt_path", "last"]
        assert program("test", "attacked", *more, *write) == 0
        lines = (program.run_folder("attacked") / "losses.jsonl").read_text().splitlines()
        return torch.tensor([json.loads(line)["loss"] for line in lines])

    plain = losses("Classification, init_args: {stream: intents}")
    torch.testing.assert_close(
        losses("FreeLB, init_args: {stream: intents, radius: 1.0e-6, step_size: 1.0e-6}"), plain, rtol=0, atol=1e-4
    )
    assert losses("FreeLB, init_args: {stream: intents, radius: 5.0, step_size: 2.0}").mean() > plain.mean() + 0.05
    assert (losses("SMART, init_args: {stream: intents}") > 0).all()


def test_two_processes_measure_what_one_does(program):
    assert program("fit", "alone") == 0
    assert program("test", "alone", "--ckpt_path", "last") == 0
    alone = json.loads((program.run_folder("alone") / "test.json").read_text())
    ddp = ["--config", str(ROOT / "configs/strategy/ddp.yaml"), "--trainer.devices", "2"]
    fit = program.start("fit", "pair", *ddp)
    output = fit.communicate(timeout=180)[0]
    assert fit.returncode == 0, output
    assert {row["step"] for row in program.log("pair")} == {row["step"] for row in program.log("alone")}
    counted = {n: json.loads((program.run_folder(n) / "fit.json").read_text())["mixture"] for n in ("alone", "pair")}
    assert counted["pair"] == counted["alone"]
    checkpoint = str(program.run_folder("alone") / "checkpoints" / "last.ckpt")
    test = program.start("test", "alone", *ddp, "--ckpt_path", checkpoint)
    output = test.communicate(timeout=180)[0]
    assert test.returncode == 0, output
    together = json.loads((program.run_folder("alone") / "test.json").read_text())
    assert together == pytest.approx(alone, rel=1e-5)
