"""A damaged checkpoint is never read as if it were whole, and none runs code."""

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from research.checkpoints.reading import first_sound, load_checkpoint
from research.checkpoints.writing import write_checkpoint
from research.errors import UserError

GIVEN = {
    "hybrid": {"config": {"lr": 1e-3, "names": ["a", "b"], "none": None}},
    "global_step": 7,
    "state_dict": {"weight": torch.randn(300, generator=torch.Generator().manual_seed(1)), "steps": torch.arange(9)},
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    write_checkpoint(GIVEN, path)
    return path


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[name], b[name]) for name in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else type(a) is type(b) and a == b


def test_reads_what_was_written(written: Path) -> None:
    assert equal(load_checkpoint(written), GIVEN)


def test_a_flipped_bit_anywhere(written: Path) -> None:
    """A bit of each byte in turn: it is refused, or it lies where nothing is and what is read is the same."""
    good, rng, refused = written.read_bytes(), random.Random(3), 0
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << rng.randrange(8)
        written.write_bytes(bad)
        try:
            assert equal(load_checkpoint(written), GIVEN), place
        except UserError as error:
            assert str(error).startswith(f"--ckpt_path {written}: not a ") and "\n" not in str(error)
            refused += 1
    assert refused > 2000


def test_a_flipped_bit_in_a_large_tensor(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint({"hybrid": {}, "state_dict": {"weight": torch.zeros(3_000_000)}}, path)
    with path.open("r+b") as file:
        file.seek(6_000_000)
        file.write(b"\x01")
    assert torch.load(path, weights_only=True)["state_dict"]["weight"].any()  # torch alone reads it without a word
    with pytest.raises(UserError, match=r"not a readable checkpoint \(0 in it does not have its checksum\)"):
        load_checkpoint(path)


def test_a_torn_file(written: Path) -> None:
    good = written.read_bytes()
    for length in [0, 1, 30, *range(100, len(good), 97), len(good) - 1]:
        written.write_bytes(good[:length])
        with pytest.raises(UserError, match="not a readable checkpoint"):
            load_checkpoint(written)
    written.write_bytes(
        good[: len(good) // 2] + bytes(len(good) // 2)
    )  # as some file systems leave it when power fails
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(written)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code(tmp_path: Path, malicious: Any, zipped: bool) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({**GIVEN, "callbacks": malicious}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not Path(malicious.folder).exists()
    torch.load(path, weights_only=False)
    Path(malicious.folder).rmdir()  # it is there where the file is read without care


def test_a_plain_pickle(tmp_path: Path, malicious: Any) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(pickle.dumps(malicious))
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_the_one_before_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for path in (last, previous):
        write_checkpoint(GIVEN, path)
    assert first_sound([last, previous], load_checkpoint)[0] == last and not caplog.messages
    last.write_bytes(last.read_bytes()[:-30])
    path, checkpoint = first_sound([last, previous], load_checkpoint)
    assert path == previous and equal(checkpoint, GIVEN)
    (line,) = caplog.messages
    assert line.startswith(f"--ckpt_path {last}: not a readable checkpoint (") and "\n" not in line
    assert line.endswith(f"; used instead: {previous}, of step 7")
    last.unlink()
    assert first_sound([last, previous], load_checkpoint)[0] == previous
    assert caplog.messages[1] == f"--ckpt_path {last}: no such file; used instead: {previous}, of step 7"
    previous.write_bytes(b"")
    with pytest.raises(UserError, match=r"last.ckpt: no such file; --ckpt_path .*previous.ckpt: not a readable"):
        first_sound([last, previous], load_checkpoint)
