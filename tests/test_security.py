"""What the code must not do, and what the models that it reads must not make it do."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from research.errors import UserError
from research.models.backbone import load_config, load_tokenizer
from research.models.teachers.caching.table import Table

CODE = """
import os
from transformers import BertConfig, BertTokenizerFast

os.mkdir({folder!r})


class Config(BertConfig):
    model_type = "their_own"


class Tokenizer(BertTokenizerFast):
    pass
"""


ROOT = Path(__file__).parents[1]


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of each call in the program: where it is, what is called, and the constants among its named arguments."""
    for path in [*(ROOT / "research").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                constants = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant) and k.arg}
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), constants


def test_nothing_is_unpickled_unpacked_or_trusted() -> None:
    found = list(calls())
    loads = [(where, given.get("weights_only")) for where, name, given in found if name == "torch.load"]
    assert loads and not [where for where, only in loads if only is not True]
    assert not [where for where, _, given in found if given.get("trust_remote_code") or given.get("allow_pickle")]
    unpacking = ("extractall", "unpack_archive")
    assert not [where for where, name, _ in found if name.rpartition(".")[2] in unpacking]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder that brings code of its own, which makes a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "theirs.py").write_text(CODE.format(folder=str(tmp_path / "code_was_run")))
    config = {"model_type": "their_own", "auto_map": {"AutoConfig": "theirs.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": [None, "theirs.Tokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.parametrize("load", [lambda name: load_config(name, None, None), lambda name: load_tokenizer(name, None)])
def test_code_that_a_model_brings_is_not_run(model: Path, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("Transformers asked whether to run it"))
    with pytest.raises(UserError, match=r"^backbone .*: cannot be loaded"):
        load(str(model))
    assert not (model.parent / "code_was_run").exists()


def test_code_would_be_run_where_it_is_trusted(model: Path) -> None:
    from transformers import AutoConfig

    AutoConfig.from_pretrained(model, trust_remote_code=True)
    assert (model.parent / "code_was_run").exists()


@pytest.mark.parametrize("name", ["../elsewhere.arrow", "/etc/passwd", "sub/x.arrow"])
def test_a_manifest_names_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    for shards, index in (([name], "index.npy"), (["a.arrow"], name)):
        with pytest.raises(UserError, match="is not the name of a file in it"):
            Table(tmp_path, shards, index)
