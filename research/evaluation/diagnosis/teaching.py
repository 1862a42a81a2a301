"""Between teacher and student: a teacher that knows nothing of the task, and a student that does not follow."""

from collections.abc import Iterator

import numpy as np

from research.evaluation.diagnosis.finding import Finding, span
from research.evaluation.diagnosis.thresholds import CHANCE, MEASURES
from research.evaluation.run_log import RunLog

AGREE = "its teacher agrees with the {} no more than chance: Cohen's kappa {:.2f}"
KNOWS = "See the order of its classes and its tokenizer, give it labelled texts to fit, or take another model.teacher."
FOLLOWS = "Raise its weight or model.optimisation.lr, and see what of its path is frozen."


def unhelpful(log: RunLog) -> Iterator[Finding]:
    """In the last validations; a student that does not follow a teacher at chance is not to blame."""
    for name in log.objectives:
        for other, advice in (("labels", KNOWS), ("student", FOLLOWS)):
            steps, kappas = log.curves.get(f"validation/{name}/kappa_{other}", (np.zeros(0), np.zeros(0)))
            if len(steps) >= MEASURES and max(kappas[-MEASURES:]) <= CHANCE:
                what = AGREE.format(other, kappas[-1])
                yield Finding(log.name, name, what, span(steps[-MEASURES:]), advice)
                break
