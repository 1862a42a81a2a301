"""A data set of the Hugging Face hub."""

import os
from collections.abc import Iterator
from typing import Any

from research.data.cache import key
from research.data.sources.fields import columns, look_up, to_record
from research.data.sources.source import Record, Source
from research.errors import UserError


class HubDataset(Source):
    """Records of one split of a data set, by its name on the hub or by a local folder `datasets` can load.

    `text`, `text_pair`, `label` and `target` name its columns (dotted for nested ones); labels that the data
    set keeps as numbers of named classes become the names. `revision` is a tag, branch or commit; name a
    commit for a run that is to be repeated. With `streaming`, rows come over the network while they are read,
    and the fingerprint knows the name and revision of the data set but not its content. `HF_HUB_OFFLINE=1`
    keeps to what was downloaded before. `where` is `name:split:position`, counted from 0 as in `dataset[17]`.
    """

    def __init__(
        self,
        name: str,
        config: str | None = None,
        split: str = "train",
        revision: str | None = None,
        text: str = "text",
        text_pair: str | None = None,
        label: str | None = None,
        target: str | None = None,
        streaming: bool = False,
    ):
        self.name = os.path.expanduser(name)
        self.config = config
        self.split = split
        self.revision = revision
        self.columns = columns(text, text_pair, label, target)
        self.streaming = streaming

    def __iter__(self) -> Iterator[Record]:
        dataset = self._load()
        label = (dataset.features or {}).get(self.columns.get("label"))
        position = -1
        for position, row in enumerate(dataset):
            where = f"{self.name}:{self.split}:{position}"
            values = {field: look_up(row, column, where) for field, column in self.columns.items()}
            if "label" in values:
                values["label"] = _named(values["label"], label, where)
            yield to_record(where, values)
        if position < 0:
            raise UserError(f"data set {self.name}: split '{self.split}' holds no rows")

    def fingerprint(self) -> str:
        content = None if self.streaming else self._load()._fingerprint
        return key("HubDataset", content, self.name, self.config, self.split, self.revision, self.columns)

    def _load(self) -> Any:
        import datasets

        try:
            return datasets.load_dataset(
                self.name, self.config, split=self.split, revision=self.revision, streaming=self.streaming
            )
        except Exception as error:  # the library raises a dozen kinds, from it and from what it calls
            reason = " ".join(str(error).split())[:300]
            told = f"data set {self.name} cannot be loaded: {type(error).__name__}: {reason}"
            advice = "check name, config, split, revision and network, or download it elsewhere"
            raise UserError(f"{told}; {advice} and give the folder as name") from error


def _named(value: Any, feature: Any, where: str) -> Any:
    """The names of classes in place of their numbers."""
    import datasets

    if isinstance(feature, datasets.List):
        return [_named(one, feature.feature, where) for one in value or ()]
    if not isinstance(feature, datasets.ClassLabel) or value is None:
        return value
    if value < 0:
        raise UserError(f"{where}: label is {value}, so this split has no labels; take another `split`")
    return feature.int2str(value)
