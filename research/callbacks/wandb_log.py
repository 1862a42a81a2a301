"""Weights & Biases, offline unless wanted otherwise; whatever it does, training goes on."""

import logging
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from research.run import Run

log = logging.getLogger(__name__)
INIT_TIMEOUT = 30  # seconds for the server to answer
FINISH_TIMEOUT = 60  # seconds to send what is left; the run's folder keeps it all
STEP = "trainer/global_step"  # the axis on which Lightning's logger puts everything


class ExpendableLogger(WandbLogger):
    """Without it from the first failure on: W&B's own process may be killed, and training loses nothing by that."""

    lost = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures without a group of their own are of W&B's panel ``training``."""
        named = {name if "/" in name else f"training/{name}": value for name, value in metrics.items()}
        self._unless_lost(super().log_metrics, named, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self._unless_lost(super().log_hyperparams, *args, **kwargs)

    def _unless_lost(self, log_them: Any, *args: Any, **kwargs: Any) -> None:
        if self.lost:
            return
        try:
            log_them(*args, **kwargs)
        except Exception as error:
            self.lost = True
            log.warning("W&B: %s: %s; it hears no more of this run", type(error).__name__, str(error).splitlines()[0])


def wandb_logger(run: "Run", folder: Path, config: dict[str, Any]) -> list[Logger]:
    """The logger, started; offline if the server cannot be used, and none if W&B itself fails."""
    modes = ["offline"]
    if run.wandb == "online":
        if _logged_in():
            modes = ["online", "offline"]
        else:
            log.warning("W&B: not logged in (wandb login, or WANDB_API_KEY); %s", kept_offline(folder))
    for mode in modes:
        try:
            return [_started(run, folder, config, mode)]
        except Exception as error:  # a tracker of any state must not stop a run
            outcome = kept_offline(folder) if mode == "online" else "no W&B run"
            log.warning("W&B: %s; %s", str(error).splitlines()[0], outcome)
            _forget()
    return []


def finish(failed: bool) -> None:
    """End this process's W&B run, if there is one, and wait until W&B's own process has written it."""
    wandb: Any = sys.modules.get("wandb")
    run = getattr(wandb, "run", None)
    if run is None:
        return
    try:
        wandb.finish(exit_code=int(failed))
    except TimeoutError:
        what = "the server has not taken all of this run within %d s; send the rest later with: wandb sync %s"
        log.warning(f"W&B: {what}", FINISH_TIMEOUT, run.settings.sync_dir)
    except Exception as error:
        log.warning("W&B: %s", str(error).splitlines()[0])
    with suppress(Exception):
        wandb.teardown(exit_code=int(failed))


def kept_offline(folder: Path) -> str:
    return f"this run is kept offline; send it later with: wandb sync {folder}/wandb/offline-run-*"


def _logged_in() -> bool:
    import wandb

    try:
        return wandb.login(prompt=False, verify=False)
    except Exception:
        return False


def _forget() -> None:
    """Stop W&B's own process, which keeps the id of a run that could not start for itself."""
    import wandb

    with suppress(Exception):
        wandb.teardown()


def _started(run: "Run", folder: Path, config: dict[str, Any], mode: str) -> Logger:
    import wandb

    identity = folder / "wandb_id"
    if not identity.exists():
        _remember(identity, os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))  # a sweep's agent has chosen one
    experiment = None
    if getattr(rank_zero_only, "rank", 0) == 0:  # started here: the logger's own start passes options that W&B warns of
        experiment = wandb.init(
            dir=str(folder),
            name=folder.name,
            project=run.project,
            group=run.group,
            tags=run.tags,
            id=identity.read_text(),
            resume="allow",
            config=config,
            mode=mode,  # type: ignore[arg-type]
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=INIT_TIMEOUT,
                finish_timeout=FINISH_TIMEOUT,
                finish_timeout_raises=True,
            ),
        )
        experiment.define_metric(STEP)
        experiment.define_metric("*", step_metric=STEP, step_sync=True)
    return ExpendableLogger(save_dir=str(folder), name=folder.name, project=run.project, experiment=experiment)


@rank_zero_only
def _remember(path: Path, text: str) -> None:
    path.write_text(text)
