"""``average`` as a user runs it: a soup, a greedy soup, and the way back to the start."""

import json

import pytest
import torch

FEW = ["--trainer.max_steps", "3", "--data.streams.intents.init_args.validation", "0.3"]


@pytest.fixture(scope="module")
def runs(program):
    """Three runs of one model from equal first weights; the rate of the last one moves nothing."""
    for name, more in {
        "one": ["--model.optimisation.lr", "1e-2"],
        "two": [],
        "start": ["--model.optimisation.lr", "1e-30"],
    }.items():
        assert program("fit", name, *FEW, *more) == 0
    return {name: str(program.run_folder(name) / "checkpoints" / "last.ckpt") for name in ("one", "two", "start")}


def average(program, *arguments):
    from research.terminal import run_command

    output = str(program.run_folder("soup") / "checkpoints" / "last.ckpt")
    assert run_command(["average", *arguments, "--output", output]) == 0
    return weights(output)


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_soup_is_tested(program, runs):
    soup, one, two = average(program, runs["one"], runs["two"]), weights(runs["one"]), weights(runs["two"])
    for name, value in soup.items():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2)
    assert any((one[name] - two[name]).abs().max() > 1e-3 for name in one)
    checkpoint = str(program.run_folder("soup") / "checkpoints" / "last.ckpt")
    assert program("test", "soup", *FEW, "--ckpt_path", checkpoint) == 0
    assert "test/ce/accuracy" in json.loads((program.run_folder("soup") / "test.json").read_text())


def test_back_to_the_start(program, runs):
    """The share of the first weights counts for the backbone; the head stays as it was trained."""
    mixed, one, start = average(program, runs["one"], "--start", "0.25"), weights(runs["one"]), weights(runs["start"])
    for name, value in mixed.items():
        head = name.startswith("student.heads")
        torch.testing.assert_close(value, one[name] if head else 0.75 * one[name] + 0.25 * start[name])


def test_greedy(program, runs, capsys):
    """Of the same checkpoint twice and a worse one, the worse one is left out if it lowers the figure."""
    soup = average(program, runs["one"], runs["one"], "--greedy", "validation/ce/loss")
    torch.testing.assert_close(soup, weights(runs["one"]))
    assert capsys.readouterr().out.count("averaged") == 2


def test_refusals(program, runs, capsys, monkeypatch):
    from research.terminal import run_command

    def refused(*arguments):
        assert run_command(["average", *arguments, "--output", "x.ckpt"]) == 2
        return capsys.readouterr().err

    monkeypatch.chdir(program.folder)
    assert "--start is 1.5; it must lie in [0, 1]" in refused(runs["one"], "--start", "1.5")
    assert "no such file" in refused("nowhere.ckpt")
    assert "no such figure; there is validation/" in refused(runs["one"], "--greedy", "accuracy")
    assert not (program.folder / "x.ckpt").exists()
    average(program, runs["one"])
    checkpoint = str(program.run_folder("soup") / "checkpoints" / "last.ckpt")
    assert program("fit", "soup", *FEW, "--ckpt_path", checkpoint) == 2
    assert "an average of checkpoints, where no run can go on" in capsys.readouterr().err


def test_wise_ft_tests_what_average_writes(program, runs):
    def tested(name, *more):
        folder = program.run_folder(name)
        assert program("test", name, *FEW, "--ckpt_path", str(folder / "checkpoints" / "last.ckpt"), *more) == 0
        return json.loads((folder / "test.json").read_text())["test/ce/loss"]

    average(program, runs["one"], "--start", "0.25")
    callback = {"class_path": "research.callbacks.WiSEFT", "init_args": {"start": 0.25}}
    mixed, trained = tested("one", "--trainer.callbacks+", json.dumps(callback)), tested("one")
    assert mixed == pytest.approx(tested("soup"), abs=1e-6) != pytest.approx(trained, abs=1e-6)
