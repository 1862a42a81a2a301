"""What looks wrong in the log of a run."""

from research.evaluation.diagnosis.balance import conflicting, dominating, silent
from research.evaluation.diagnosis.finding import Finding
from research.evaluation.diagnosis.learning import flat, infinite, overfitting, rising
from research.evaluation.diagnosis.supply import starving
from research.evaluation.diagnosis.teaching import unhelpful
from research.evaluation.run_log import RunLog

CHECKS = (rising, infinite, dominating, silent, flat, unhelpful, conflicting, overfitting, starving)


def diagnose(log: RunLog) -> list[Finding]:
    """All that looks wrong, the gravest first."""
    return [finding for check in CHECKS for finding in check(log)]


__all__ = ["Finding", "diagnose"]
