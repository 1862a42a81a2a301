"""What is found out before the first run starts, and what decides a run's key."""

import json
import shutil

import pytest

from research.ablation.command import described
from research.ablation.design.grid import Grid
from research.ablation.design.plan import Plan
from research.errors import UserError

METRICS = "metrics: {test/ce/accuracy: max}\n"


@pytest.fixture
def plan(grid_file):
    return lambda text: Plan(Grid.read(grid_file(text)))


def test_every_run_of_an_arm_and_a_seed(plan):
    made = plan(METRICS + "axes: {objectives: {leave_one_out: [mlm, nce], add_one_in: [mlm, nce]}}\nseeds: [0, 5]")
    assert [(run.seed, run.arm.coordinates["objectives"]) for run in made.runs] == [
        (seed, name) for seed in (0, 5) for name in ("all", "-mlm", "-nce", "none", "+mlm", "+nce")
    ]
    keys = {(run.seed, str(run.arm)): run.job.key for run in made.runs}
    assert keys[0, "-mlm"] == keys[0, "+nce"]  # the same config, run once
    assert keys[5, "-nce"] == keys[5, "+mlm"]
    assert len({*keys.values()}) == 8
    assert [str(run) for run in made.waiting()][:4] == ["all, seed 0", "-mlm, seed 0", "-nce, seed 0", "none, seed 0"]
    assert len(made.waiting()) == 8
    assert made.left_out["none"] == ["model.objectives.mlm", "model.objectives.nce", "data.streams.wiki"]
    assert made.runs[0].job.stages == ("test", "predict")
    assert plan("metrics: {validation/ce/loss: min}\naxes: {}").runs[0].job.stages == ()
    results = made.results([], {keys[0, "-mlm"]: "out of luck"})
    assert [line["status"] for line in results.runs] == ["missing", "failed", *["missing"] * 3, "failed"] + 6 * [
        "missing"
    ]
    assert results.runs[1]["error"] == "out of luck"


def test_the_key_follows_the_data_and_the_config_and_nothing_else(plan, slices, tmp_path):
    data = tmp_path / "train.csv"
    shutil.copy(slices / "banking77" / "train.csv", data)
    axes = "seeds: [0]\naxes: {x: {a: {data.streams.intents.init_args.source.init_args.paths: %s%s}}}\n" + METRICS
    first = plan(axes % (data, "")).runs[0].job.key
    assert plan(axes % (data, ", run.tags: [x], trainer.enable_progress_bar: true")).runs[0].job.key == first
    assert plan(axes % (data, ", model.optimisation.lr: 0.5")).runs[0].job.key != first
    data.write_text(data.read_text().replace("card", "cart", 1))
    assert plan(axes % (data, "")).runs[0].job.key != first


def test_what_the_rest_costs_is_told_as_it_will_run(plan):
    made = plan(METRICS + "axes: {}\nseeds: [0, 1, 2, 3, 4, 5]\ncluster: {array_parallelism: 4}")
    assert described(made, None).endswith("what a run costs is known when the first one is done")
    folder = made.runs[0].job.folder
    folder.mkdir(parents=True)
    for name in ("test.json", "predictions.jsonl"):
        (folder / name).write_text("")
    (folder / "record.json").write_text(json.dumps({"cost": {"total_seconds": 60}}))
    assert described(made, 1).endswith("about 60 s a run by those that are done: 5 min left, 1 at a time")
    assert described(made, None).endswith("those that are done: 5 min of jobs left, at most 4 at a time")


def test_an_arm_that_is_the_first_run_of_another_is_run_once(plan, tmp_path):
    axes = """\
axes:
  kind:
    teacher: {}
    taught: {model.teacher: {class_path: research.models.LiveTeacher, init_args: {checkpoint: "{first}/last.ckpt"}}}
first: {run.tags: [teacher]}
seeds: [0, 1]
"""
    made = plan(METRICS + axes)
    teacher, taught = made.runs[:2]
    assert taught.first.job is teacher.job
    assert teacher.job.stages == ("test", "predict") and teacher.job.keep and not taught.job.keep
    assert [run.job.key for run in made.waiting()] == [run.job.key for run in made.runs]
    assert taught.ready is False
    assert f"checkpoint: {teacher.job.folder}/last.ckpt".replace(": ", '": "') in taught.options[3]
    assert taught.arm.options[3].endswith('{first}/last.ckpt"}}')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "axes: {x: {good: {}, bad: {model.optimisation.lr: high}}}\n" + METRICS,
            r"^arm bad: --model.optimisation.lr: .*|^arm bad: model.optimisation.lr: .*'high'",
        ),
        (
            "axes: {x: {leave_one_out: [mlm, kd]}}\n" + METRICS,
            "^arm -kd: --without kd: no such objective; there are mlm",
        ),
        ("axes: {x: {a: {config: no.yaml}}}\n" + METRICS, "^arm a: .*no.yaml"),
        (
            "axes: {x: {a: {model.objectives.ce.init_args.stream: mail}}}\n" + METRICS,
            "^arm a: model.objectives.ce: no stream is called 'mail'; data.streams has wiki, intents",
        ),
        (
            "axes: {x: {a: {data.streams.intents.init_args.source.init_args.paths: gone.csv}}}\n" + METRICS,
            "^arm a: .*gone.csv",
        ),
        (
            "axes: {x: {a: {data.streams.intents.init_args.test: 0.0}}}\n" + METRICS,
            "^arm a: data.streams: no stream has a test split",
        ),
        ("axes: {}\nmetrics: {test/cc/accuracy: max}", "^metrics.test/cc/accuracy: no arm has an objective 'cc'"),
    ],
)
def test_an_arm_that_cannot_run_is_named(plan, text, told):
    with pytest.raises(UserError, match=told) as caught:
        plan(text)
    assert "\n" not in str(caught.value)


def test_what_the_results_hold_is_not_run_again_when_its_folder_is_gone(plan):
    text = METRICS + "axes: {}\nseeds: [0, 1]"
    made = plan(text)
    job = made.runs[0].job
    job.folder.mkdir(parents=True)
    for name in ("test.json", "predictions.jsonl"):
        (job.folder / name).write_text("")
    of_ce = {"places": "d", "scores": "10"}
    record = {"commit": "abc", "metrics": {"test/ce/accuracy": 0.5}, "cost": {"total_seconds": 60, "seconds": 50},
              "curve": {}, "examples": {"intents": of_ce}}  # fmt: skip
    (job.folder / "record.json").write_text(json.dumps(record))
    before = made.results([], {})
    before.write(made.grid.results)
    shutil.rmtree(job.folder)

    again = plan(text)
    assert [run.seed for run in again.waiting()] == [1]
    assert again.results([], {}).runs == before.runs and before.runs[0]["status"] == "done"
    assert described(again, 1).endswith("about 60 s a run by those that are done: 60 s left, 1 at a time")
    assert len(plan(text + "\nkeep_checkpoints: true").waiting()) == 2  # the weights are asked for
    assert len(plan(text.replace("{test/ce/accuracy: max}", "{test/ce/mcc: max}")).waiting()) == 2  # not known to be
    assert len(plan(text + "\nbudget: {steps: 3}").waiting()) == 2
