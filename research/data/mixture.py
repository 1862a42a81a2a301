"""The mixture owns the named corpora and tasks and merges their loaders."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader

from research.data.batch import Batch
from research.data.loader import ResumableLoader, WindowLoader, outlive_signals, window
from research.data.poisson import Poisson
from research.data.sampling import Joint, Sampling, Turns
from research.data.stream import Stream, StreamInfo
from research.data.stream_module import Connection, StreamDataModule
from research.errors import UserError
from research.privacy.checks import check_private
from research.step import Clean, View

if TYPE_CHECKING:
    from research.module import HybridModule


class MixtureDataModule(LightningDataModule):
    """Named streams merged by Lightning's CombinedLoader; a batch is ``{stream: Batch}``.

    Args:
        streams: corpora and tasks by name.
        mixture: how they share the steps.
        num_workers: loader processes of each stream; 0 loads in the main process.
        cache: folder of the tokenised tables; the default lies in the user's cache folder.
    """

    def __init__(
        self,
        streams: dict[str, StreamDataModule],
        mixture: Sampling | None = None,
        num_workers: int = 0,
        cache: str | None = None,
    ) -> None:
        super().__init__()
        if not streams:
            raise UserError("data.streams: give at least one stream")
        if num_workers < 0:
            raise UserError(f"data.num_workers is {num_workers}; it must be at least 0")
        self.streams, self.mixture = streams, mixture or Joint()
        self.num_workers, self.cache = num_workers, cache
        self._module: HybridModule | None = None

    def connect(self, module: "HybridModule", seed: int = 0) -> None:
        """Introduce the streams to what reads them and check that the two fit; loads no weights.

        Raises:
            UserError: for an objective whose stream or family does not fit, or settings that do not name the streams.
        """
        module.check({name: stream.info for name, stream in self.streams.items()})
        views = module.views()
        self.mixture.connect(list(self.streams), seed)
        for name, stream in self.streams.items():
            if name not in views:
                raise UserError(f"data.streams.{name}: no objective reads this stream; remove it or add an objective")
            cache = Path(self.cache).expanduser() if self.cache else None
            stream.connect(Connection(name, module.student, views[name], seed, cache))
        check_private(module, self.streams, self.mixture)
        self._module = module

    def prepare_data(self) -> None:
        if self._module is None:
            self.connect(self._trained())
        for stream in self.streams.values():
            stream.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        if self._module is None:
            self.connect(self._trained())
        streams = self.streams.values()
        if not all(stream.rows for stream in streams):
            for stream in streams:
                stream.split()
            held_out = [stream.held_out() for stream in streams]
            everything = {
                split: np.concatenate([h[split] for h in held_out if split in h] or [np.zeros(0, np.uint64)])
                for split in ("validation", "test")
            }
            for stream in streams:
                stream.drop(everything)
                stream.settle()
        assert self._module is not None
        self._module.streams = self.infos()

    def infos(self) -> dict[str, StreamInfo]:
        return {name: stream.info for name, stream in self.streams.items()}

    def train_dataloader(self) -> CombinedLoader:
        trainer = self.trainer
        assert trainer is not None
        module = self._trained()
        parts = {name: stream.training() for name, stream in self.streams.items()}
        self.private: dict[str, Poisson] = {}
        if module.privacy is not None:
            self.private = {name: module.privacy.sampled(parts[name]) for name in module.privacy.streams}
        parts = {**parts, **self.private}
        for part in parts.values():
            part.deal(trainer.global_rank, trainer.world_size)
        sizes = {name: len(part) for name, part in parts.items()}
        steps = self.mixture.epoch_steps(sizes)

        def run_steps() -> float:
            return module.total_steps * trainer.accumulate_grad_batches

        ahead = 2 * self.num_workers + trainer.accumulate_grad_batches  # two batches a worker by torch's default
        self.mixture.begin(sizes, run_steps, ahead)

        def together() -> int:
            batches = int(trainer.num_training_batches)
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
            place = progress.processed % batches
            return window(place, batches, trainer.accumulate_grad_batches).stop - place

        loaders = {
            name: self._loader(part, Turns(self.mixture, name, steps, self._done)) for name, part in parts.items()
        }
        self.training = WindowLoader(loaders, module.share, together)
        return self.training

    def state_dict(self) -> dict[str, Any]:
        streams = {name: state for name, stream in self.streams.items() if (state := stream.state_dict())}
        return {"sampling": self.mixture.state_dict(self._done()), "streams": streams}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert self.trainer is not None
        if self.trainer.state.fn != "fit":
            return
        if state["sampling"]:
            self.mixture.load_state_dict(state["sampling"])
        for name, given in state.get("streams", {}).items():
            self.streams[name].load_state_dict(given)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Unlike when a batch is loaded, it is trained on now, and a checkpoint may follow."""
        if self.trainer is not None and self.trainer.training:
            for name, part in batch.items():
                if part is not None:
                    self.streams[name].trained_on(part)
        return batch

    def val_dataloader(self) -> CombinedLoader:
        return self._held_out("validation")

    def test_dataloader(self) -> CombinedLoader:
        return self._held_out("test")

    def predict_dataloader(self) -> CombinedLoader:
        return self._held_out("test", Clean())

    def validated(self) -> list[str]:
        """The streams that set something apart for validation, known before any data is read."""
        return [name for name, stream in self.streams.items() if stream.validation]

    def held_out_streams(self, split: str) -> list[str]:
        """The streams that have such a split, in the order of the loader."""
        return [name for name, stream in self.streams.items() if split in stream.rows and len(stream.rows[split][1])]

    def read(self, stream: str, views: Sequence[View], split: str = "train") -> Iterator[Batch]:
        """One pass over a stream's batches in the given views, on the CPU; nothing of a split that it does not have."""
        if split != "train" and stream not in self.held_out_streams(split):
            return
        with torch.device("cpu"):  # Lightning may have made another the default
            batches = self.streams[stream].stream(split)
        batches.views = list(views)
        for position in range(len(batches)):
            with torch.device("cpu"):
                batch = batches[position]
            assert batch is not None
            yield batch

    def _held_out(self, split: str, *views: View) -> CombinedLoader:
        trainer = self.trainer
        assert trainer is not None
        names = self.held_out_streams(split)
        if split == "test" and not names:
            raise UserError("data.streams: no stream has a test split; set test on one of them")
        loaders = {}
        for name in names:
            part = self.streams[name].stream(split)
            part.views = [*views, *(view for view in part.views if view not in views)]
            part.deal(trainer.global_rank, trainer.world_size)
            loaders[name] = self._loader(part, range(len(part)))
        return CombinedLoader(loaders, "sequential")

    def _loader(self, stream: Stream, positions: Turns | range) -> ResumableLoader:
        return ResumableLoader(
            stream,
            batch_size=None,
            sampler=positions,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self._trained().device.type == "cuda",
            worker_init_fn=outlive_signals,
        )

    def _done(self) -> int:
        """Steps of the whole run that were trained on."""
        assert self.trainer is not None
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]

    def _trained(self) -> "HybridModule":
        assert self.trainer is not None
        module: HybridModule = self.trainer.lightning_module  # type: ignore[assignment]
        return module
