"""The mixture owns the named corpora and tasks and merges their loaders."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from research.data.batch import Batch
from research.data.sampling import Joint, Sampling, Turns
from research.data.stream import Stream, StreamInfo
from research.data.stream_module import Connection, StreamDataModule
from research.errors import UserError
from research.sharding import is_sharded
from research.step import Clean, View

if TYPE_CHECKING:
    from research.module import HybridModule


def outlive_signals(worker: int) -> None:
    """Who stops a job signals all its processes, and what is saved then still needs the loader's."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


class ResumableLoader(DataLoader):
    """A loader over positions. Its sampler asks where training stands, so it has no state of its own to restore."""

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


class TimedLoader(CombinedLoader):
    """Counts the seconds that training has waited for the next batch."""

    waited = 0.0

    def __next__(self) -> Any:
        started = time.perf_counter()
        try:
            return super().__next__()
        finally:
            self.waited += time.perf_counter() - started


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
        self.measured: dict[tuple[str, str], int] = {}  # by split and stream: batches of this process, then repeated

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
        parts = {name: stream.training() for name, stream in self.streams.items()}
        ranks = trainer.world_size
        steps = self.mixture.epoch_steps({name: -(-len(part) // ranks) for name, part in parts.items()})

        def run_steps() -> float:
            return self._trained().total_steps * trainer.accumulate_grad_batches

        ahead = 2 * self.num_workers + 1  # two batches a worker by torch's default, one in Lightning's hand
        self.mixture.begin({name: len(part) for name, part in parts.items()}, run_steps, ahead)

        self.training = TimedLoader(
            {
                name: self._loader(part, Turns(self.mixture, name, steps, self._done, trainer.global_rank, ranks))
                for name, part in parts.items()
            },
            "min_size",
        )
        return self.training

    def state_dict(self) -> dict[str, Any]:
        return {"sampling": self.mixture.state_dict(self._done())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert self.trainer is not None
        if self.trainer.state.fn == "fit" and state["sampling"]:
            self.mixture.load_state_dict(state["sampling"])

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

    def _held_out(self, split: str, *views: View) -> CombinedLoader:
        trainer = self.trainer
        assert trainer is not None
        names = self.held_out_streams(split)
        if split == "test" and not names:
            raise UserError("data.streams: no stream has a test split; set test on one of them")
        rank, ranks = trainer.global_rank, trainer.world_size
        loaders = {}
        for name in names:
            part = self.streams[name].stream(split)
            part.views = [*views, *(view for view in part.views if view not in views)]
            while len(part) < ranks and part.batch_size > 1:  # Lightning wants a batch for each process
                part.batch_size //= 2
            if len(part) < ranks:
                raise UserError(f"data.streams.{name}: its {split} split is too small for {ranks} processes")
            own: Sequence[int] = range(rank, len(part), ranks)
            self.measured[split, name] = len(own)
            if is_sharded(trainer.strategy):  # no process can leave the others alone in a forward
                own = [*own, *own[: -(-len(part) // ranks) - len(own)]]
            loaders[name] = self._loader(part, own)
        return CombinedLoader(loaders, "sequential")

    def _loader(self, stream: Stream, positions: Turns | Sequence[int]) -> "DataLoader[Batch | None]":
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
