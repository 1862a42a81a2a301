"""Pseudo-labels against the papers' formulas in numpy; what carries a gradient, and what moves."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from research.data.augment import TokenCutoff
from research.data.batch import Batch
from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import UDA, AnnealedClassification, FixMatch, FreeMatch
from research.objectives.annealed_classification import annealed_loss
from research.objectives.distribution_alignment import aligned
from research.objectives.free_match import class_thresholds
from research.objectives.pseudo_labels import pseudo_label_loss
from research.objectives.uda import sharpened
from research.step import Clean, Step

STREAMS = {"s": StreamInfo("unlabelled"), "task": StreamInfo("classify", ("a", "b", "c"))}
STRONG = TokenCutoff(0.4)


def softmax(z: Any) -> np.ndarray:
    e = np.exp(np.asarray(z) - np.asarray(z).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def built(objective: Any, student: Any) -> Any:
    """The objective with a head of weights large enough to be sure of something."""
    objective.check("name", student.family, STREAMS, None)
    objective.build(student, STREAMS)
    objective.double()
    torch.manual_seed(1)
    torch.nn.init.normal_(student.double().eval().heads["task"].linear.weight, std=2.0)
    return objective.train()


def logits_of(student: Any, batch: Batch, view: Any) -> np.ndarray:
    with torch.no_grad():
        return student.class_logits(student(batch.views[view]), "task").numpy()


def test_loss_in_numpy_and_its_gradient() -> None:
    z = torch.randn(4, 3, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    q = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4], [0.9, 0.05, 0.05]], dtype=torch.float64)
    confident = torch.tensor([True, True, False, True])
    log_p = np.log(softmax(z.detach().numpy()))
    expected = 0.0
    for i in (0, 1, 3):
        expected += sum(q[i, c].item() * (np.log(q[i, c].item()) - log_p[i, c]) for c in range(3) if q[i, c] > 0) / 4
    assert pseudo_label_loss(z, q, confident).item() == pytest.approx(expected, abs=1e-12)
    assert torch.autograd.gradcheck(lambda logits: pseudo_label_loss(logits, q, confident), z)


def test_aligned_by_hand() -> None:
    """A guess of (1/2, 1/2), where the first class is guessed three times as often and should be as often."""
    p = aligned(torch.tensor([[0.5, 0.5]]), torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(p, torch.tensor([[0.25, 0.75]]))


def test_sharpened_is_the_softmax_of_scaled_logits() -> None:
    z = torch.randn(5, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    torch.testing.assert_close(sharpened(z.softmax(-1), 0.4), (z / 0.4).softmax(-1))


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("soft", [False, True])
def test_objective_in_numpy(name: str, soft: bool, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """Each view through the student on its own; the confident texts alone count, and in the mean all of them."""
    student = tiny(name)
    objective = built(UDA("s", "task", STRONG, temperature=0.5) if soft else FixMatch("s", "task", STRONG), student)
    batch = batch_of(student, texts, objective.views())
    guess, log_p = softmax(logits_of(student, batch, Clean())), np.log(softmax(logits_of(student, batch, STRONG)))
    objective.threshold = float(np.median(guess.max(1)))
    confident = guess.max(1) >= objective.threshold
    assert confident.sum() == 4
    if soft:
        q = guess**2 / (guess**2).sum(1, keepdims=True)
        rows = (q * (np.log(q) - log_p)).sum(1)
    else:
        rows = -log_p[np.arange(len(texts)), guess.argmax(1)]
    assert objective(step_of(objective, student, batch)).item() == pytest.approx((rows * confident).mean(), abs=1e-8)


def test_the_guess_carries_no_gradient(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Only the rows of the strong view get one, although both views share a forward."""
    student = tiny("bert")
    objective = built(FixMatch("s", "task", STRONG, threshold=0.0), student)
    step = Step({"s": batch_of(student, texts, objective.views())}, student, None, {"s": objective.views()})
    weak, strong = step.encoded("s", Clean()).memory, step.encoded("s", STRONG).memory
    by_weak, by_strong = torch.autograd.grad(objective(step), [weak, strong], allow_unused=True)
    assert by_weak is None and by_strong.abs().sum() > 0


def test_running_means_hold_the_guesses_to_the_shares_of_the_labels(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    student = tiny("bert")
    objective = built(FixMatch("s", "task", STRONG, threshold=0.5, align=True, decay=0.8), student)
    labelled = [batch_of(student, texts, [Clean()], [0, 0, 0, 0, 1, 1, 1, 2])]
    objective.prepare(student, None, lambda stream, *views: iter(labelled) if stream == "task" else iter(()))
    prior = np.array([0.5, 0.375, 0.125])
    batch = batch_of(student, texts, objective.views())
    guess, log_p = softmax(logits_of(student, batch, Clean())), np.log(softmax(logits_of(student, batch, STRONG)))
    marginal = 0.8 * prior + 0.2 * guess.mean(0)
    q = guess * prior / marginal
    q /= q.sum(1, keepdims=True)
    rows = -log_p[np.arange(len(texts)), q.argmax(1)] * (q.max(1) >= 0.5)
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(rows.mean(), abs=1e-6)
    np.testing.assert_allclose(objective.marginal.numpy(), marginal, atol=1e-6)
    assert {"prior", "marginal"} <= objective.state_dict().keys(), "a resumed run goes on with them"
    objective.eval()
    objective.measure(step_of(objective, student, batch))
    np.testing.assert_allclose(objective.marginal.numpy(), marginal, atol=1e-6, err_msg="held-out data move nothing")
    assert objective.results()["confident"] == pytest.approx((q.max(1) >= 0.5).mean())


def test_adaptive_thresholds_by_hand() -> None:
    thresholds = class_thresholds(torch.tensor(0.8), torch.tensor([0.5, 0.25, 0.25]))
    torch.testing.assert_close(thresholds, torch.tensor([0.8, 0.4, 0.4]))


def test_free_match_in_numpy(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """Two steps from thresholds of 1/3."""
    student = tiny("bert")
    objective = built(FreeMatch("s", "task", STRONG, decay=0.5), student)
    batch = batch_of(student, texts, objective.views())
    guess, log_p = softmax(logits_of(student, batch, Clean())), np.log(softmax(logits_of(student, batch, STRONG)))
    m, tau = np.full(3, 1 / 3), 1 / 3
    for _ in range(2):
        m, tau = 0.5 * m + 0.5 * guess.mean(0), 0.5 * tau + 0.5 * guess.max(1).mean()
        confident = guess.max(1) >= (tau * m / m.max())[guess.argmax(1)]
        expected = (-log_p[np.arange(len(texts)), guess.argmax(1)] * confident).mean()
        assert objective(step_of(objective, student, batch)).item() == pytest.approx(expected, abs=1e-6)
    assert 0 < confident.sum() < len(texts)


def test_a_teacher_guesses(tiny: Any, texts: list[str], batch_of: Any, teacher_of: Any) -> None:
    """The student reads the strong view alone, the teacher the weak one alone."""
    student = tiny("bert", seed=2)
    objective = FixMatch("s", "task", STRONG, threshold=0.5, from_teacher=True)
    with pytest.raises(UserError, match=r"model\.objectives\.mine: from_teacher needs model\.teacher"):
        objective.check("mine", student.family, STREAMS, None)
    teacher = teacher_of(tiny("bert", seed=5))
    objective.check("mine", student.family, STREAMS, teacher)
    objective.build(student, STREAMS)
    teacher.student.add_head("task", 3)
    torch.nn.init.normal_(teacher.student.heads["task"].linear.weight, std=0.5)
    teacher.student.double().eval()
    student.double().eval()
    objective.double()
    assert objective.probes() == ("task",)
    batch = batch_of(student, texts, [*objective.views(), *objective.taught_views()])
    rows: list[int] = []
    student.model.base_model.register_forward_hook(lambda module, given, out: rows.append(len(out.last_hidden_state)))
    loss = objective(Step({"s": batch}, student, teacher, {"s": objective.views()}))
    assert rows == [len(texts)]
    guess = softmax(logits_of(teacher.student, batch, Clean()))
    log_p = np.log(softmax(logits_of(student, batch, STRONG)))
    expected = (-log_p[np.arange(len(texts)), guess.argmax(1)] * (guess.max(1) >= 0.5)).mean()
    assert loss.item() == pytest.approx(expected, abs=1e-8)


def test_annealed_loss_leaves_out_what_is_known() -> None:
    z = torch.randn(6, 3, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    labels = np.array([0, 1, 2, 0, 1, 2])
    p = softmax(z.detach().numpy())[np.arange(6), labels]
    assert 0 < (p < 0.4).sum() < 6
    expected = -np.log(p[p < 0.4]).mean()
    loss = annealed_loss(z, torch.from_numpy(labels), 0.4)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    assert (torch.autograd.grad(loss, z)[0].abs().sum(1) > 0).tolist() == (p < 0.4).tolist()
    assert annealed_loss(z, torch.from_numpy(labels), 1e-9).item() == 0.0


@pytest.mark.parametrize(("shape", "half"), [("linear", 0.5), ("exp", np.exp(-2.5)), ("log", 1 - np.exp(-2.5))])
def test_annealing_threshold_rises(
    shape: Any, half: float, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    """Of 3 classes from 1/3 to 1, by training batches alone, and kept in the checkpoint."""
    student, objective = tiny("bert"), AnnealedClassification("s", batches=4, shape=shape)
    classify(objective, student, 3)
    batch = batch_of(student, texts, [Clean()], [0, 1, 2, 1, 0, 2, 2, 1])
    for _ in range(2):
        objective.train()(step_of(objective, student, batch))
    objective.eval().measure(step_of(objective, student, batch))
    assert objective.threshold(3) == pytest.approx(1 / 3 + 2 / 3 * half)
    assert objective.state_dict()["seen"] == 2
    objective.seen.fill_(9)
    assert objective.threshold(3) == 1.0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: FixMatch("s", "task", STRONG, threshold=1.0), r"threshold is 1.0; it must lie in \[0, 1\)"),
        (lambda: FixMatch("s", "task", STRONG, decay=-0.1), r"decay is -0.1"),
        (lambda: FixMatch("s", "task", Clean()), "strong equals weak"),
        (lambda: UDA("s", "task", STRONG, temperature=0.0), "temperature is 0.0; it must be above 0"),
        (lambda: AnnealedClassification("s", 0), "batches is 0; it must be at least 1"),
    ],
)
def test_refused(make: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        make()


def test_a_task_without_classes(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"model\.objectives\.mine: task 's' is no stream with classes; .*\['task'\]"):
        FixMatch("s", "s", STRONG).check("mine", tiny("bert").family, STREAMS, None)


def test_what_labels_never_show_is_learned_from_confident_guesses() -> None:
    """A linear model over six words, three of each class, of which the labels show one.

    The guess is made from all three words of a text; the strong view lacks each of them half of the time. Test texts
    have the two words that no label shows.
    """
    word = torch.eye(6)
    known, unknown = word[[0, 3]], torch.stack([word[[1, 2]].sum(0), word[[4, 5]].sum(0)])
    texts = (known + unknown).repeat(8, 1)  # unlabelled
    objective = FixMatch("s", "task", STRONG, threshold=0.9)

    def margins(unlabelled: bool) -> torch.Tensor:
        weight, generator = torch.zeros(6, 2, requires_grad=True), torch.manual_seed(0)
        for _ in range(200):
            loss = F.cross_entropy(known @ weight, torch.tensor([0, 1]))
            if unlabelled:
                guess = (texts @ weight).detach().softmax(-1)
                strong = texts * (torch.rand(texts.shape, generator=generator) < 0.5)
                loss = loss + pseudo_label_loss(strong @ weight, objective.targets(guess), objective.confident(guess))
            (gradient,) = torch.autograd.grad(loss, weight)
            weight = (weight - gradient).detach().requires_grad_()
        p = (unknown @ weight).softmax(-1).detach()
        return torch.stack([p[0, 0], p[1, 1]])

    torch.testing.assert_close(margins(False), torch.tensor([0.5, 0.5]))
    assert margins(True).min() > 0.95
