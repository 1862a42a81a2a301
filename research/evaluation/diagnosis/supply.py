"""Between the data and the training: a loader that does not keep up."""

from collections.abc import Iterator

import numpy as np

from research.evaluation.diagnosis.finding import Finding, span
from research.evaluation.diagnosis.thresholds import MEASURES, STARVING
from research.evaluation.run_log import RunLog


def starving(log: RunLog) -> Iterator[Finding]:
    """The first row is passed over: workers start in it."""
    if "waiting_for_data" not in log.curves:
        return
    steps, waited = log.curves["waiting_for_data"]
    if len(steps) > MEASURES and (share := np.median(waited[1:])) >= STARVING:
        workers = log.config["data"].get("num_workers", 0)
        what = f"keeps the training waiting {share:.0%} of the time"
        advice = f"Raise data.num_workers, {workers} now, or make batches cheaper: fewer augmentations, shorter texts."
        yield Finding(log.name, "the loader", what, span(steps[1:]), advice)
