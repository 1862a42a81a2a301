"""A config without objectives, as the training command reads it."""

import pytest
import yaml

from research.ablation.design.without import leave_out
from research.checkpoints.reading import load_checkpoint
from research.errors import UserError
from research.training_cli import TrainingCLI

CONFIG = """\
model:
  student: {backbone: nowhere}
  teacher: {class_path: research.models.LiveTeacher, init_args: {backbone: nowhere}}
  objectives:
    ce: {class_path: research.objectives.Classification, init_args: {stream: task}}
    mlm: {class_path: research.objectives.MaskedLM, init_args: {stream: text}}
    kd: {class_path: research.objectives.Distillation, init_args: {stream: text, task: task}}
    hold:
      class_path: research.objectives.EWC
      init_args: {objective: {class_path: research.objectives.MaskedLM, init_args: {stream: old}}}
  weighting:
    class_path: research.weighting.Uncertainty
    init_args: {weights: {mlm: {start: 1.0, end: 0.0}, kd: 2.0}, regression: [kd, mlm]}
data:
  streams:
    task: &corpus
      class_path: research.data.CorpusDataModule
      init_args: {source: {class_path: research.data.sources.TextFiles, init_args: {paths: x}}}
    text: *corpus
    old: *corpus
  mixture:
    class_path: research.data.sampling.Repeated
    init_args:
      times: 2
      mixture: {class_path: research.data.Sampled, init_args: {probabilities: {task: 1, text: 2, old: 3}}}
"""


class Parsed(TrainingCLI):
    """Stops where the classes would be made."""

    def before_instantiate_classes(self):
        pass

    def instantiate_classes(self):
        pass

    def _run_subcommand(self, subcommand):
        pass


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    path = tmp_path_factory.mktemp("without") / "config.yaml"
    path.write_text(CONFIG)
    cli = Parsed(["fit", "--config", str(path)])
    return lambda: cli.config.fit.clone()


@pytest.mark.parametrize(
    ("names", "streams", "teacher"),
    [
        (["mlm"], ["task", "text", "old"], True),
        (["kd"], ["task", "text", "old"], False),
        (["mlm", "kd"], ["task", "old"], False),
        (["hold"], ["task", "text"], True),
        ([], ["task", "text", "old"], True),
    ],
)
def test_what_no_other_objective_asks_for_goes_too(parsed, names, streams, teacher):
    config = parsed()
    gone = leave_out(config, names)
    assert list(config.model.objectives) == [name for name in ("ce", "mlm", "kd", "hold") if name not in names]
    assert list(config.data.streams) == streams
    assert list(config.data.mixture.init_args.mixture.init_args.probabilities) == streams
    assert (config.model.teacher is not None) == teacher
    assert list(config.model.weighting.init_args.weights) == [n for n in ("mlm", "kd") if n not in names]
    assert config.model.weighting.init_args.regression == [n for n in ("kd", "mlm") if n not in names]
    assert gone == [
        *(f"model.objectives.{name}" for name in ("mlm", "kd", "hold") if name in names),
        *(f"data.streams.{name}" for name in ("text", "old") if name not in streams),
        *([] if teacher else ["model.teacher"]),
    ]


def test_an_objective_that_is_not_there_is_refused(parsed):
    with pytest.raises(UserError, match="--without nce: no such objective; there are ce, mlm, kd, hold"):
        leave_out(parsed(), ["nce"])


def test_a_run_without_objectives_is_the_run_that_never_had_them(tmp_path, slices):
    text = (slices.parents[1] / "integration" / "tiny.yaml").read_text().replace("SLICES", str(slices))
    whole = yaml.safe_load(text.replace("max_steps: 25", "max_steps: 3"))
    whole["run"]["folder"] = str(tmp_path)
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole))
    del whole["model"]["objectives"]["mlm"], whole["model"]["objectives"]["nce"]
    del whole["data"]["streams"]["wiki"], whole["model"]["weighting"]
    whole["model"]["weighting"] = {"class_path": "research.weighting.Scheduled", "init_args": {"weights": {}}}
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump(whole))
    TrainingCLI(["fit", "--config", str(tmp_path / "whole.yaml"), "--without", "[mlm, nce]"])
    TrainingCLI(["fit", "--config", str(tmp_path / "alone.yaml")])
    folders = [tmp_path / "whole", tmp_path / "alone"]
    states = [load_checkpoint(f / "checkpoints" / "last.ckpt")["state_dict"] for f in folders]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    configs = [yaml.safe_load((f / "config.yaml").read_text()) for f in folders]
    for config in configs:
        del config["run"]
    assert configs[0] == configs[1]  # the folder's config repeats the run as it was
