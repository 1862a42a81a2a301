"""What a linear classifier reads from frozen embeddings (Alain & Bengio 2016, arXiv:1610.01644)."""

from collections.abc import Sequence

from torch import Tensor

from research.data.sources import Source
from research.errors import UserError
from research.models.embedding import embed
from research.models.student import Student


def probe_accuracy(train: Tensor, labels: Sequence[str], test: Tensor, answers: Sequence[str], c: float = 0.1) -> float:
    """Accuracy, in [0, 1], of multinomial logistic regression fitted on embeddings (N, H) and their labels.

    Each feature is standardised by its mean and deviation on ``train``, so that the inverse strength ``c`` of the L2
    penalty means the same for embeddings of any length, such as those of one model before and after training.

    Args:
        train: (N, H).
        labels: N of them, of two classes at least.
        test: (M, H).
        answers: M labels; one that is not among ``labels`` counts as an error.
        c: above 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    probe.fit(train.float().numpy(), list(labels))
    return float(probe.score(test.float().numpy(), list(answers)))


def probe(student: Student, train: Source, test: Source, c: float = 0.1, max_length: int | None = None) -> float:
    """:func:`probe_accuracy` of a student's embeddings of the labelled texts of two sources, which it never trains on.

    Longer texts are cut to ``max_length`` tokens. Read both through :class:`research.data.sources.Uncased` to see how
    much of it depends on case.

    Raises:
        UserError: for a record without one label, or training texts of one class alone.
    """
    texts, labels = labelled(train)
    questions, answers = labelled(test)
    if len(set(labels)) < 2:
        raise UserError(
            f"{type(train).__name__}: a probe needs texts of two labels; these have {set(labels) or 'none'}"
        )
    embeddings = embed(student, texts + questions, max_length=max_length)
    return probe_accuracy(embeddings[: len(texts)], labels, embeddings[len(texts) :], answers, c)


def labelled(source: Source) -> tuple[list[str], list[str]]:
    """Texts and labels of a source of one label each."""
    texts, labels = [], []
    for record in source:
        label = record.get("label")
        if label is None or isinstance(label, list):
            raise UserError(f"{record['where']}: a probe needs one label a text, and this has {label!r}")
        texts.append(record["text"])
        labels.append(str(label))
    return texts, labels
