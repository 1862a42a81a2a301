"""What a run leaves behind: figures as JSON, a plot of its losses, and where everything lies."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from research.callbacks.loss_guard import LossGuard
from research.callbacks.memory import peak_memory
from research.callbacks.mixture_log import MixtureLog, as_text

if TYPE_CHECKING:
    from lightning import LightningModule


class Summary(Callback):
    """Writes ``fit.json``, ``validate.json`` or ``test.json`` and the plots of a run into its folder.

    Args:
        folder: the run's folder.
        mixture: what has counted the streams.
        say: what tells the user.
        as_json: print what is written, too.
    """

    def __init__(self, folder: Path, mixture: MixtureLog, say: Callable[[str], None], as_json: bool) -> None:
        self.folder, self.mixture, self._say, self.as_json = folder, mixture, say, as_json

    def on_fit_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        parameters = sum(p.numel() for p in module.student.parameters())
        self._say(
            f"{self.folder}: {module.student.family.name} student, {parameters / 1e6:.1f} M parameters, "
            f"{module.total_steps} steps; " + ", ".join(f"{name} {s.amount()}" for name, s in data.streams.items())
        )
        self.fingerprints = {name: stream.fingerprint() for name, stream in data.streams.items()}
        for logger in trainer.loggers:
            logger.log_hyperparams({"data_fingerprints": self.fingerprints})
        self.started, self.first_step = time.perf_counter(), trainer.global_step

    def on_fit_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        seconds = time.perf_counter() - self.started
        steps = trainer.global_step - self.first_step
        figures: dict[str, Any] = {
            "steps": trainer.global_step,
            "seconds": seconds,
            "steps_per_second": steps / seconds,
            "peak_memory_gb": peak_memory(),
            "mixture": self.mixture.realised(trainer),
            "data": self.fingerprints,
        }
        if module.privacy is not None:
            figures["privacy"] = module.privacy.summary()
            for name, spent in figures["privacy"].items():
                self._say(f"{name}: differentially private, epsilon {spent['epsilon']:.2f}, delta {spent['delta']:g}")
        for guard in (c for c in trainer.callbacks if isinstance(c, LossGuard)):  # type: ignore[attr-defined]
            figures["bad_steps"] = guard.counts
        self._write("fit.json", figures)
        if trainer.is_global_zero and (self.folder / "metrics.csv").exists():
            from research.evaluation.curves import curves_of, draw_losses, draw_mixture

            draw_losses(self.folder / "metrics.csv", self.folder / "loss_curves.png")
            if probabilities := curves_of(self.folder / "metrics.csv", "probability/"):
                draw_mixture(probabilities, self.folder / "mixture.png", self.folder.name)
        self._say(
            f"{steps} steps in {seconds:.0f} s; peak memory {figures['peak_memory_gb']:.2f} GB\n"
            f"{as_text(figures['mixture'])}\n"
            f"  checkpoint   {self.folder}/checkpoints/last.ckpt\n"
            f"  log          {self.folder}/metrics.csv\n"
            f"  losses       {self.folder}/loss_curves.png\n"
            + (f"  mixture      {self.folder}/mixture.png\n" if (self.folder / "mixture.png").exists() else "")
            + f"  config       {self.folder}/config.yaml"
        )

    def on_validation_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "validate":
            self._results(trainer, "validation")

    def on_test_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self._results(trainer, "test")

    def _results(self, trainer: Trainer, split: str) -> None:
        results = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(f"{split}/")}
        self._write(f"{split}.json", results)
        self._say("\n".join(f"  {name:<40} {value:.4f}" for name, value in results.items()))
        self._say(f"  written to {self.folder}/{split}.json")

    @rank_zero_only
    def _write(self, name: str, figures: dict[str, Any]) -> None:
        work = self.folder / f".{name}"
        work.write_text(json.dumps(figures, indent=2) + "\n")
        os.replace(work, self.folder / name)
        if self.as_json:
            print(json.dumps(figures), flush=True)
