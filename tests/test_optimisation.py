import math

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from research.errors import UserError
from research.optimisation import Optimisation, parameter_groups
from research.schedules import WSD, Constant, Cosine, InverseSquareRoot, Linear, OneCycle


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=12,
    )  # fmt: skip
    return BertForMaskedLM(config)


def depth_of(name: str) -> int | None:
    if name.startswith("cls"):
        return None
    return int(name.split(".")[3]) + 1 if "layer." in name else 0


def members(model: nn.Module, groups: list[dict]) -> dict[str, set[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {group["name"]: {names[id(p)] for p in group["params"]} for group in groups}


def layer(i: int, *names: str) -> set[str]:
    return {f"bert.encoder.layer.{i}.{name}" for name in names}


MATRICES = (
    "attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
    "attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight",
)  # fmt: skip
VECTORS = (
    "attention.self.query.bias", "attention.self.key.bias", "attention.self.value.bias",
    "attention.output.dense.bias", "intermediate.dense.bias", "output.dense.bias",
    "attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias",
    "output.LayerNorm.weight", "output.LayerNorm.bias",
)  # fmt: skip
EXPECTED = {
    "embeddings/decay": {
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.position_embeddings.weight",
        "bert.embeddings.token_type_embeddings.weight",
    },
    "embeddings/no_decay": {"bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias"},
    "layer_1/decay": layer(0, *MATRICES),
    "layer_1/no_decay": layer(0, *VECTORS),
    "layer_2/decay": layer(1, *MATRICES),
    "layer_2/no_decay": layer(1, *VECTORS),
    "head/decay": {"cls.predictions.transform.dense.weight"},
    "head/no_decay": {
        "cls.predictions.bias",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
    },
}


def test_groups_of_bert(bert: nn.Module) -> None:
    groups = parameter_groups(bert.named_parameters(), depth_of, 2, 1e-3, 0.1, layer_decay=0.5, head_lr=1e-2)
    assert members(bert, groups) == EXPECTED
    rates = {group["name"].split("/")[0]: group["lr"] for group in groups}
    assert rates == pytest.approx({"embeddings": 1.25e-4, "layer_1": 2.5e-4, "layer_2": 5e-4, "head": 1e-2})
    for group in groups:
        assert group["weight_decay"] == (0.1 if group["name"].endswith("/decay") else 0.0)


def test_equal_settings_share_a_group(bert: nn.Module) -> None:
    groups = members(bert, parameter_groups(bert.named_parameters(), depth_of, 2, 1e-3, 0.1))
    assert set(groups) == {"backbone+head/decay", "backbone+head/no_decay"}
    matrices = [names for name, names in EXPECTED.items() if name.endswith("/decay")]
    assert groups["backbone+head/decay"] == set().union(*matrices)
    (only,) = parameter_groups(bert.named_parameters(), depth_of, 2, 1e-3, 0.0)
    assert only["name"] == "backbone+head/no_decay" and len(only["params"]) == len(list(bert.parameters()))


def test_each_trained_parameter_exactly_once(bert: nn.Module) -> None:
    twice = list(bert.named_parameters(remove_duplicate=False))  # the decoder is tied to the embedding
    assert len(twice) > len(list(bert.parameters()))
    groups = parameter_groups(twice, depth_of, 2, 1e-3, 0.1, layer_decay=0.9)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in bert.parameters())

    embeddings = bert.get_submodule("bert.embeddings")
    embeddings.requires_grad_(False)
    try:
        groups = parameter_groups(twice, depth_of, 2, 1e-3, 0.1, layer_decay=0.9)
    finally:
        embeddings.requires_grad_(True)
    frozen = {id(p) for p in embeddings.parameters()}
    assert {id(p) for g in groups for p in g["params"]} == {id(p) for p in bert.parameters()} - frozen


def test_groups_of_others_have_their_own_rate_and_the_same_schedule() -> None:
    model, other = nn.Linear(2, 2), nn.Parameter(torch.zeros(1))
    more = [{"params": [other], "lr": 0.5, "weight_decay": 0.0, "name": "weighting"}]
    settings = Optimisation(lr=0.1, schedule=Linear(2))
    optimiser, schedule = settings.build(model.named_parameters(), lambda name: None, 1, 10, more)
    assert optimiser.param_groups[-1]["name"].startswith("head"), "the last group's rate is the one that is logged"
    optimiser.step()
    schedule.step()
    rates = {group["name"]: group["lr"] for group in optimiser.param_groups}
    assert rates == pytest.approx({"weighting": 0.25, "head/decay": 0.05, "head/no_decay": 0.05})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_equal_adamw_by_hand(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 4, generator=generator, dtype=dtype))
    bias = nn.Parameter(torch.randn(4, generator=generator, dtype=dtype))
    settings = Optimisation(lr=0.1, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-6, schedule=Linear(0))
    named = [("layer.weight", weight), ("layer.bias", bias)]
    optimiser, scheduler = settings.build(named, lambda name: 1, 1, total_steps=5)

    expected = {p: (p.detach().double().clone(), torch.zeros(()), torch.zeros(())) for p in (weight, bias)}
    for step in range(1, 6):
        rate = 0.1 * (5 - (step - 1)) / 5
        for p, (value, first, second) in expected.items():
            p.grad = torch.randn(p.shape, generator=generator, dtype=dtype)
            g = p.grad.double()
            first, second = 0.8 * first + 0.2 * g, 0.95 * second + 0.05 * g**2
            update = first / (1 - 0.8**step) / ((second / (1 - 0.95**step)).sqrt() + 1e-6)
            decay = 0.3 if p is weight else 0.0
            expected[p] = value * (1 - rate * decay) - rate * update, first, second
        optimiser.step()
        scheduler.step()
    atol = 1e-6 if dtype == torch.float32 else 1e-12
    for p, (value, _, _) in expected.items():
        torch.testing.assert_close(p.detach().double(), value, rtol=0, atol=atol)
    assert optimiser.param_groups[0]["lr"] == 0.0


def test_fused_only_for_float32_on_the_cpu() -> None:
    def fused(*dtypes: torch.dtype) -> bool | None:
        named = [(str(i), nn.Parameter(torch.zeros(2, dtype=dtype))) for i, dtype in enumerate(dtypes)]
        return Optimisation().build(named, lambda name: 1, 1, 10)[0].defaults["fused"]

    assert fused(torch.float32, torch.float32)
    assert not fused(torch.float32, torch.bfloat16)
    assert not fused(torch.float64)


def test_clips_gradients_under_mixed_precision() -> None:
    import lightning as L

    class Line(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 1)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            return self.linear(batch).square().mean()

        def configure_optimizers(self):
            optimiser, scheduler = Optimisation().build(self.named_parameters(), lambda name: 1, 1, 2)
            return [optimiser], [{"scheduler": scheduler, "interval": "step"}]

    trainer = L.Trainer(
        max_steps=2, accelerator="cpu", precision="bf16-mixed", gradient_clip_val=0.1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(8, 4), batch_size=4))
    assert trainer.global_step == 2


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        *(({key: value}, key) for key in ("lr", "head_lr", "eps") for value in (-1.0, 0.0, math.inf, math.nan)),
        *(({"weight_decay": value}, "weight_decay") for value in (-0.1, math.inf, math.nan)),
        *(({"betas": betas}, "betas") for betas in ((0.9, 1.0), (1.0, 0.9), (-0.1, 0.9))),
        *(({"layer_decay": value}, "layer_decay") for value in (0.0, 1.1, math.nan)),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict, key: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.optimisation\.{key} is"):
        Optimisation(**settings)


def test_the_ends_of_a_range_are_in_it() -> None:
    Optimisation(weight_decay=0, betas=(0, 0), layer_decay=1)


def test_refuses_an_endless_run_and_a_frozen_model() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    for steps in (math.inf, 0, -1):
        with pytest.raises(UserError, match=r"^trainer\.max_steps"):
            Optimisation().build([("a", parameter)], lambda name: 1, 1, steps)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^model\.student: every parameter is frozen"):
        Optimisation().build([("a", parameter.requires_grad_(False))], lambda name: 1, 1, 10)


DEFAULT = Optimisation()


class Owner:
    def __init__(self, optimisation: Optimisation = DEFAULT) -> None:
        self.optimisation = optimisation


def test_is_set_by_yaml() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Owner, "model")

    def read(*arguments: str) -> Optimisation:
        return parser.instantiate(parser.parse_args(list(arguments))).model.optimisation

    assert read() == Optimisation()
    assert read("--model.optimisation.lr=1e-3", "--model.optimisation.schedule.warmup=7") == Optimisation(
        lr=1e-3, schedule=Linear(7)
    )
    cosine = '{"lr": 2e-4, "betas": [0.8, 0.9], "schedule": {"class_path": "research.schedules.Cosine"}}'
    assert read(f"--model.optimisation={cosine}") == Optimisation(2e-4, betas=(0.8, 0.9), schedule=Cosine())
    for other in (Constant(), InverseSquareRoot(), OneCycle(), WSD()):  # settings of Linear are carried over
        name = f"--model.optimisation.schedule=research.schedules.{type(other).__name__}"
        assert read(name) == Optimisation(schedule=other)


def test_another_optimiser_by_yaml(bert: nn.Module) -> None:
    """Groups bring their rates, heads have groups of their own, and betas belong to the optimiser."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Owner, "model")

    def read(*arguments: str) -> Optimisation:
        return parser.instantiate(parser.parse_args(list(arguments))).model.optimisation

    sgd = '{"class_path": "torch.optim.SGD", "init_args": {"momentum": 0.9}}'
    optimiser, _ = read(f"--model.optimisation.optimiser={sgd}", "--model.optimisation.lr=0.01").build(
        bert.named_parameters(), depth_of, 2, 10
    )
    assert type(optimiser) is torch.optim.SGD
    assert {(g["name"], g["initial_lr"], g["momentum"]) for g in optimiser.param_groups} == {
        (f"{part}/{decay}", 0.01, 0.9) for part in ("backbone", "head") for decay in ("decay", "no_decay")
    }
    with pytest.raises(UserError, match=r"^model\.optimisation\.optimiser is .*; it must have betas and eps"):
        Optimisation(betas=(0.8, 0.9), optimiser=torch.optim.SGD)
