"""All augmentations in one run of the real program, stopped and continued."""

import os
import signal

from research.callbacks.metrics_log import MetricsLog

VIEWS = {
    "eda": "{class_path: research.data.augment.EDA, init_args: {neighbours: 3}}",
    "cutoff": "{class_path: research.data.augment.TokenCutoff, init_args: {rate: 0.2}}",
    "spans": "research.data.augment.SpanMasked",
    "contextual": "{class_path: research.data.augment.Contextual, init_args: {rate: 0.3, top_k: 4}}",
}
CE = "{{class_path: research.objectives.Classification, init_args: {{stream: intents, view: {}}}}}"
OBJECTIVES = ", ".join(
    [
        "ce: {class_path: research.objectives.Classification, init_args: {stream: intents}}",
        "mlm: {class_path: research.objectives.MaskedLM, init_args: {stream: wiki}}",
        "mixup: {class_path: research.objectives.Mixup, init_args: {stream: intents}}",
        "nce: {class_path: research.objectives.Contrastive, init_args: {stream: intents, other_view: "
        "{class_path: research.data.augment.TokenCutoff, init_args: {rate: 0.2, draw: 1}}}}",
        *(f"{name}: {CE.format(view)}" for name, view in VIEWS.items()),
    ]
)
MORE = [
    "--model.objectives", f"{{{OBJECTIVES}}}",
    "--model.weighting", "research.weighting.Fixed",
    "--data.streams.intents.init_args.validation", "0.3",
    "--trainer.max_steps", "6", "--trainer.val_check_interval", "3",
]  # fmt: skip


def test_resumes_exactly_and_measures_clean_text(program, monkeypatch):
    assert program("fit", "whole", *MORE) == 0
    rows = program.log("whole")
    measured = [row for row in rows if row["validation/ce/accuracy"]]
    assert measured
    for row in measured:
        for name in ("mixup", *VIEWS):
            assert row[f"validation/{name}/accuracy"] == row["validation/ce/accuracy"], "held-out data are not changed"
    assert all(row["loss/ce"] != row[f"loss/{name}"] for row in rows if row["loss/ce"] for name in VIEWS)

    log = MetricsLog.on_train_batch_end

    def stop(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "on_train_batch_end", stop)
        assert program("fit", "stopped", *MORE) == 128 + signal.SIGTERM
    assert program("fit", "stopped", *MORE, "--ckpt_path", "last") == 0
    assert program.log("stopped") == rows


def test_a_view_that_the_student_has_no_meaning_for(program, capsys):
    gpt2 = "{model_type: gpt2, n_embd: 32, n_layer: 1, n_head: 2}"
    ce = f"{{ce: {CE.format(VIEWS['contextual'])}}}"
    more = ["--model.student.architecture", gpt2, "--model.objectives", ce, *MORE[2:4]]
    assert program("fit", "refused", *more) == 2
    assert "model.objectives.ce: the view Contextual needs an encoder" in capsys.readouterr().err
