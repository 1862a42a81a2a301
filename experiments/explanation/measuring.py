"""Figures of explanations: how faithful they are, and whether influence finds what is wrong."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm  # type: ignore[import-untyped]

from research.inference import Model
from research.inference.attribution import occlusion
from research.inference.explanation.attention import rollout
from research.inference.explanation.faithfulness import faithfulness
from research.inference.explanation.gradients import integrated_gradients
from research.inference.explanation.influence import Influence
from research.inference.explanation.reading import read
from research.inference.neighbours import unit

METHODS = ("integrated gradients", "occlusion", "attention rollout", "random")
NEAREST = 10
STEPS = 32  # of integrated gradients
Weigh = Callable[[str], np.ndarray]  # the weight of each word of a text


def ways(model: Model, seed: int) -> dict[str, Weigh]:
    rng = np.random.default_rng(seed)

    def by_gradients(text: str) -> np.ndarray:
        reading = read(model, text)
        return reading.by_word(integrated_gradients(model, reading, steps=STEPS)[0])

    def by_attention(text: str) -> np.ndarray:
        reading = read(model, text)
        return reading.by_word(rollout(model, reading))

    return dict(zip(METHODS, (
        by_gradients,
        lambda text: np.array([weight for _, _, weight in occlusion(model, text)]),
        by_attention,
        lambda text: rng.random(len(read(model, text).words)),
    ), strict=True))  # fmt: skip


def faithful(model: Model, texts: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """For each method the comprehensiveness and sufficiency of each text, and the seconds a text took."""
    found = {}
    spans = {text: [(word.start, word.end) for word in read(model, text).words] for text in texts}
    for name, weigh in ways(model, seed).items():
        start = time.process_time()
        weights = [weigh(text) for text in tqdm(texts, name, unit=" texts")]
        seconds = time.process_time() - start
        of_text = [faithfulness(model, text, spans[text], w) for text, w in zip(texts, weights, strict=True)]
        found[name] = {
            "comprehensiveness": [round(one.comprehensiveness, 5) for one in of_text],
            "sufficiency": [round(one.sufficiency, 5) for one in of_text],
            "seconds": seconds / len(texts),
        }
    return found


def detection(models: Sequence[Model], told: Sequence[tuple[str, str]], wrong: Sequence[bool]) -> dict[str, float]:
    """The area under the curve, in [0, 1], of each way to rank wrong labels first; 0.5 is chance.

    Influence of an example on itself over all checkpoints and at the last; its loss at the last; and the share of its
    nearest neighbours, by the last checkpoint's embeddings, that have another label.
    """
    labels, texts = [label for label, _ in told], [text for _, text in told]
    influence = Influence(models, texts, labels)
    errors, inputs = influence.examples[-1]
    places = [influence.known.index(label) for label in labels]
    embeddings = unit(inputs[:, :-1])  # the last input is of the bias
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argpartition(-similarity, NEAREST, axis=1)[:, :NEAREST]
    other = (np.array(labels)[nearest] != np.array(labels)[:, None]).mean(1)
    ranked = {
        f"influence over {len(models)} checkpoints": influence.own(),
        "influence at the last": (errors**2).sum(1) * (inputs**2).sum(1),
        "loss at the last": -errors[np.arange(len(errors)), places],  # 1 - p, which ranks as the loss does
        "neighbours of another label": other,
    }
    return {name: float(roc_auc_score(wrong, values)) for name, values in ranked.items()}
