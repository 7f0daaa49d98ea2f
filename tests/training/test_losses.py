"""ConsistencyLoss: equal to its formula, written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantizable.errors import ModeError, PlanError
from quantizable.modes import parse_mode
from quantizable.training import TEACHERS, ConsistencyLoss

LOW = parse_mode("w2a2")
SHARES = st.floats(0, 4)
TEMPERATURES = st.floats(0.25, 8)  # below, logits / T of a few units saturate the softmax in float32


def by_hand(logits, labels, higher, teacher, *, label_weight=1.0, consistency_weight=1.0, temperature=1.0, weight=1.0):
    """The loss of one mode in plain Python, float64; higher: logits of the higher modes, from the highest down."""

    def softmax(row, t):
        exponentials = [math.exp(float(value) / t) for value in row]
        return [value / sum(exponentials) for value in exponentials]

    label_loss = consistency = 0.0
    for i, row in enumerate(logits):
        label_loss += -math.log(softmax(row, 1)[int(labels[i])])
        targets = [softmax(each[i], temperature) for each in higher]
        target = {"highest": lambda t: t[0], "next": lambda t: t[-1], "all": lambda t: [sum(c) / len(c) for c in zip(*t, strict=True)]}
        own = softmax(row, temperature)
        consistency += sum(p * math.log(p / q) for p, q in zip(target[teacher](targets), own, strict=True))
    n = len(logits)
    return weight * (label_weight * label_loss / n + consistency_weight * temperature**2 * consistency / n)


def logits_of(seed, count, *, n=5, classes=4):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(n, classes, generator=generator) for _ in range(count)], torch.randint(classes, (n,), generator=generator)


@given(
    teacher=st.sampled_from(sorted(TEACHERS)),
    seed=st.integers(0, 1000),
    label_weight=SHARES,
    consistency_weight=SHARES,
    temperature=TEMPERATURES,
    weight=SHARES,
)
def test_the_loss_is_its_formula(teacher, seed, label_weight, consistency_weight, temperature, weight):
    """Formula of the docstring, for every teacher, share, temperature and weight."""
    (own, *higher), labels = logits_of(seed, 4)
    loss = ConsistencyLoss(
        teacher, label_weight=label_weight, consistency_weight=consistency_weight, temperature=temperature, weights={"w2a2": weight}
    )
    found = loss(own, labels, LOW, {"fp32": higher[0], "w8a8": higher[1], "w4a4": higher[2]})
    wanted = by_hand(
        own, labels, higher, teacher,
        label_weight=label_weight, consistency_weight=consistency_weight, temperature=temperature, weight=weight,
    )  # fmt: skip
    assert float(found) == pytest.approx(wanted, rel=2e-5, abs=2e-5)


@pytest.mark.parametrize("teacher", [*TEACHERS, None])
def test_the_highest_mode_learns_from_labels_alone(teacher):
    """Formula: without higher predictions the loss is the cross entropy, whatever the share of the label is."""
    (own,), labels = logits_of(0, 1)
    loss = ConsistencyLoss(teacher, label_weight=0.25, weights={"fp32": 3.0})
    assert float(loss(own, labels, parse_mode("fp32"), {})) == pytest.approx(3 * float(torch.nn.functional.cross_entropy(own, labels)))


def test_hard_labels_only_ignores_the_higher_modes():
    """teacher None: every mode has the cross entropy alone, with its smoothing."""
    (own, other), labels = logits_of(1, 2)
    found = ConsistencyLoss(None, label_smoothing=0.1)(own, labels, LOW, {"fp32": other})
    assert torch.equal(found, torch.nn.functional.cross_entropy(own, labels, label_smoothing=0.1))


@pytest.mark.parametrize("teacher", TEACHERS)
def test_no_gradient_reaches_the_teacher(teacher):
    """Promise: the teacher never gets gradients from its pupils; the pupil does."""
    (own, first, second), labels = logits_of(2, 3)
    for logits in (own, first, second):
        logits.requires_grad_()
    ConsistencyLoss(teacher)(own, labels, LOW, {"fp32": first, "w8a8": second}).backward()
    assert first.grad is None
    assert second.grad is None
    assert own.grad is not None
    assert bool(own.grad.any())


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_pupil_that_agrees_has_no_consistency_loss(teacher):
    """Formula: KL of equal predictions is 0."""
    (own,), labels = logits_of(3, 1)
    loss = ConsistencyLoss(teacher, label_weight=0)
    assert float(loss(own, labels, LOW, {"fp32": own, "w4a4": own})) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"teacher": "hihgest"}, PlanError, "highest, next, all or None, found 'hihgest'"),
        ({"temperature": 0.0}, PlanError, "temperature must be above 0, found 0.0"),
        ({"temperature": math.nan}, PlanError, "temperature must be above 0, found nan"),
        ({"label_weight": -1.0}, PlanError, "label_weight must be at least 0, found -1.0"),
        ({"consistency_weight": math.nan}, PlanError, "consistency_weight must be at least 0, found nan"),
        ({"label_smoothing": 1.0}, PlanError, "label_smoothing must be 0 to below 1, found 1.0"),
        ({"weights": {"w4a4": -1.0}}, PlanError, "weight of mode 'w4a4' must be at least 0, found -1.0"),
        ({"weights": {"w44": 1.0}}, ModeError, "w44"),
    ],
)
def test_a_wrong_argument_is_told(arguments, error, words):
    """Promise: numbers out of range and unknown teachers are one clear line, before training."""
    with pytest.raises(error, match=words):
        ConsistencyLoss(**arguments)
