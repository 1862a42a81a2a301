import time
from types import SimpleNamespace

import pytest
import torch

from research.errors import UserError
from research.precision import check_precision, native_bfloat16

BF16 = ("bf16", "bf16-mixed", "bf16-true", "16-mixed", "16", 16)  # on a CPU, Lightning makes bf16 of 16-mixed


@pytest.mark.skipif(torch.cuda.is_available(), reason="measures the CPU, which is not asked where there is a GPU")
def test_native_means_that_bfloat16_is_not_tens_of_times_slower() -> None:
    def seconds(dtype: torch.dtype) -> float:
        a = torch.randn(384, 384).to(dtype)
        a @ a
        times = []
        for _ in range(7):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
        return min(times)

    slower = seconds(torch.bfloat16) / seconds(torch.float32)
    assert slower < 8 if native_bfloat16() else slower > 2


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, on which torch says that the CPU lacks bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)


@pytest.mark.parametrize("precision", BF16)
def test_emulated_bfloat16_is_refused(emulated: None, precision: str | int) -> None:
    told = rf"^trainer\.precision is {precision}, which this machine only emulates.*; use 32-true$"
    with pytest.raises(UserError, match=told):
        check_precision(SimpleNamespace(precision=precision))


@pytest.mark.parametrize("precision", ["32-true", "64", 32, None])
def test_other_precisions_pass(emulated: None, precision: str | int | None) -> None:
    check_precision(SimpleNamespace(precision=precision))


@pytest.mark.parametrize("precision", BF16)
def test_native_bfloat16_passes(precision: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    check_precision(SimpleNamespace(precision=precision))


def test_gpu_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert not native_bfloat16()
    check_precision(SimpleNamespace(precision="16-mixed"))  # float16 itself
    with pytest.raises(UserError):
        check_precision(SimpleNamespace(precision="bf16-mixed"))
