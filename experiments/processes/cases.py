"""The cases: a config each, what is set beside it, and the strategy by which many processes train it."""

from dataclasses import dataclass
from typing import Any, Literal

ACCUMULATED = ("--trainer.accumulate_grad_batches", "2")
SAMPLED = (
    "--data.mixture",
    "{class_path: research.data.sampling.Temperature, init_args: {temperature: 2.0, epoch: 25}}",
)
SAMPLED_ACCUMULATED = (*SAMPLED, "--trainer.accumulate_grad_batches", "3")
LOSS_DRIVEN = ("--data.mixture", "{class_path: research.data.sampling.LossDriven, init_args: {every: 10, epoch: 25}}")
REPEATED = (
    "--data.mixture",
    "{class_path: research.data.sampling.Repeated, init_args: {times: 3, mixture: "
    "{class_path: research.data.sampling.Temperature, init_args: {temperature: 2.0, epoch: 9}}}}",
)
SEQUENTIAL = (
    "--data.mixture",
    "{class_path: research.data.sampling.Sequential, init_args: {phases: "
    "[{streams: [wiki], steps: 15}, {streams: [questions, episodes], steps: 15}, "
    "{streams: [wiki, similarity], steps: 20}]}}",
)
OFFLOADED = ("--trainer.strategy.init_args.cpu_offload", "true")
LAYERS_KEPT = ("--trainer.strategy.init_args.reshard_after_forward", "false")
SCHEDULED = (  # a validation every five steps, of which some bring no new best
    "--model.weighting",
    "{class_path: research.weighting.Scheduled, init_args: {weights: {"
    "MaskedLM: {start: 1.0, end: 0.2, shape: cosine}, Regression: {class_path: research.weighting.Plateau, "
    "init_args: {start: 1.0, end: 0.1, figure: Contrastive/loss, patience: 1, moves: 8}}}}}",
    "--trainer.val_check_interval", "5", "--trainer.check_val_every_n_epoch", "null",
)  # fmt: skip


def weighting(name: str, arguments: str = "{}") -> tuple[str, ...]:
    return "--model.weighting", f"{{class_path: research.weighting.{name}, init_args: {arguments}}}"


@dataclass(frozen=True)
class Case:
    """A run that has to be the same on any number of processes.

    Args:
        config: the name of a file beside this one.
        settings: what is set beside it, on the command line; a strategy's own only where there are many processes.
        strategy: of ``configs/strategy``, for more than one process.
        divided: settings of the strategy.
        moved: it is also stopped, and gone on with by other numbers of processes.
        moving: figures that have to change in training, for without that their equality shows nothing.
    """

    config: str
    settings: tuple[str, ...] = ()
    strategy: Literal["ddp", "fsdp"] = "ddp"
    divided: tuple[str, ...] = ()
    moved: bool = False
    moving: tuple[str, ...] = ()


CASES: dict[str, Case] = {
    "joint": Case("bert", moved=True),
    "accumulated": Case("bert", ACCUMULATED),
    "sampled": Case("bert", SAMPLED),
    "sampled, accumulated": Case("bert", SAMPLED_ACCUMULATED, moved=True),
    "loss-driven": Case("bert", LOSS_DRIVEN),
    "sequential": Case("bert", SEQUENTIAL),
    "repeated": Case("bert", REPEATED),
    "scheduled": Case("bert", SCHEDULED, moved=True, moving=("weight/MaskedLM", "weight/Regression")),
    "uncertainty": Case("bert", weighting("Uncertainty"), moving=("weight/MaskedLM",)),
    "gradnorm": Case("bert", weighting("GradNorm"), moving=("weight/MaskedLM",)),
    "loss scale": Case("bert", weighting("LossScale"), moving=("weight/MaskedLM",)),
    "dynamic weight average": Case(
        "bert", weighting("DynamicWeightAverage", "{every: 5}"), moving=("weight/MaskedLM",)
    ),
    "pcgrad": Case("bert", weighting("Aggregation", "{aggregator: {class_path: torchjd.aggregation.PCGrad}}")),
    "gpt2": Case("gpt2", moved=True),
    "gpt2, accumulated": Case("gpt2", ACCUMULATED),
    "other tokens": Case("other_tokens"),
    "other tokens, accumulated": Case("other_tokens", ACCUMULATED),
    "t5": Case("t5", moved=True),
    "fsdp": Case("bert", (), "fsdp"),
    "fsdp, sampled, accumulated": Case("bert", SAMPLED_ACCUMULATED, "fsdp", moved=True),
    "fsdp, scheduled": Case("bert", SCHEDULED, "fsdp", moving=("weight/MaskedLM", "weight/Regression")),
    "fsdp, layers kept": Case("bert", (), "fsdp", LAYERS_KEPT),
    "fsdp, offloaded": Case("bert", ACCUMULATED, "fsdp", OFFLOADED),
    "fsdp, gpt2": Case("gpt2", (), "fsdp"),
    "fsdp, gpt2, accumulated": Case("gpt2", ACCUMULATED, "fsdp", moved=True),
    "fsdp, other tokens": Case("other_tokens", (), "fsdp"),
    "fsdp, t5": Case("t5", (), "fsdp"),
    "fsdp, t5, accumulated": Case("t5", ACCUMULATED, "fsdp"),
}
SPREAD = 0.1  # of first weights: with the usual 0.02 attention is all but even, and what compares it all but 0
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 128, "initializer_range": SPREAD}
ARCHITECTURES: dict[str, tuple[Any, int, dict[str, Any]]] = {  # a tokenizer, the size of its vocabulary, and a model
    "bert": ("wordpiece", 600, {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3,
                                "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64,
                                "initializer_range": SPREAD}),
    "gpt2": ("bpe", 600, GPT2),
    "gpt2_other": ("bpe", 400, GPT2),
    "t5": ("unigram", 600, {"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 3,
                            "num_heads": 2}),
}  # fmt: skip
