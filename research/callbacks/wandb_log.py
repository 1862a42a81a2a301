"""Weights & Biases, offline unless wanted otherwise; whatever it does, training goes on."""

import logging
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from research.run import Run

log = logging.getLogger(__name__)
INIT_TIMEOUT = 30  # seconds for the server to answer
FINISH_TIMEOUT = 60  # seconds to send what is left; the run's folder keeps it all
STEP = "trainer/global_step"  # the axis on which Lightning's logger puts everything


def wandb_logger(run: "Run", folder: Path, config: dict[str, Any]) -> "list[Logger]":
    """The logger, started; offline if the server cannot be used, and none if W&B itself fails."""
    modes = ["offline"]
    if run.wandb == "online":
        if _logged_in():
            modes = ["online", "offline"]
        else:
            log.warning("W&B: not logged in (wandb login, or WANDB_API_KEY); this run is kept offline")
    for mode in modes:
        try:
            return [_started(run, folder, config, mode)]
        except Exception as error:  # a tracker of any state must not stop a run
            outcome = "this run is kept offline" if mode == "online" else "no W&B run"
            log.warning("W&B: %s; %s", str(error).splitlines()[0], outcome)
            _forget()
    return []


def finish(failed: bool) -> None:
    """End this process's W&B run, if there is one, and wait until W&B's own process has written it."""
    wandb: Any = sys.modules.get("wandb")
    try:
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=int(failed))
            wandb.teardown(exit_code=int(failed))
    except Exception as error:
        log.warning("W&B: %s", str(error).splitlines()[0])


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


def _started(run: "Run", folder: Path, config: dict[str, Any], mode: str) -> "Logger":
    import wandb
    from lightning.pytorch.loggers import WandbLogger

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
                silent=True, console="off", init_timeout=INIT_TIMEOUT, finish_timeout=FINISH_TIMEOUT
            ),
        )
        experiment.define_metric(STEP)
        experiment.define_metric("*", step_metric=STEP, step_sync=True)
    return WandbLogger(save_dir=str(folder), name=folder.name, project=run.project, experiment=experiment)


@rank_zero_only
def _remember(path: Path, text: str) -> None:
    path.write_text(text)
