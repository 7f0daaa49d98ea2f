"""The loss of one mode: its labels, and consistency with the predictions of higher modes.

Source of the consistency idea: Du, Zhang, Guan, arXiv 2004.05284 (teacher "highest"); teacher "next": Yu et al., Any-Precision,
arXiv 1911.07346. A new teacher is one function and one row of TEACHERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.errors import PlanError
from quantizable.modes import Mode, parse_mode


class ConsistencyLoss(nn.Module):
    """Loss of a mode, given the predictions that the higher modes made for the same batch.

        L_mode = weight[mode] * (label_weight * CE(logits, labels) + consistency_weight * T^2 * KL(p_teacher || p_mode))

    with p = softmax(logits / T). The mode without a higher one has ``weight * CE`` alone. No gradient reaches the teacher.

    Args:
        teacher: "highest" (the paper's), "next" (the next higher mode), "all" (the mean prediction of all higher modes), or
            None for hard labels only.
        label_weight: share of the hard label in modes that have a teacher.
        consistency_weight: share of the teacher.
        temperature: T > 0.
        weights: mode -> weight of its whole loss, 1 where not named: the balance between modes.
        label_smoothing: 0 to below 1, of the hard label.

    Raises:
        PlanError: an unknown teacher or a number out of range.
    """

    def __init__(
        self,
        teacher: str | None = "highest",
        *,
        label_weight: float = 1.0,
        consistency_weight: float = 1.0,
        temperature: float = 1.0,
        weights: Mapping[str | int, float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if teacher is not None and teacher not in TEACHERS:
            raise PlanError(f"loss: teacher must be one of {', '.join(TEACHERS)} or None, found {teacher!r}")
        if not temperature > 0:
            raise PlanError(f"loss: temperature must be above 0, found {temperature}")
        for name, value in (("label_weight", label_weight), ("consistency_weight", consistency_weight)):
            if not value >= 0:
                raise PlanError(f"loss: {name} must be at least 0, found {value}")
        if not 0 <= label_smoothing < 1:
            raise PlanError(f"loss: label_smoothing must be 0 to below 1, found {label_smoothing}")
        self.weights = {parse_mode(mode).name: float(weight) for mode, weight in (weights or {}).items()}
        for mode, weight in self.weights.items():
            if not weight >= 0:
                raise PlanError(f"loss: weight of mode {mode!r} must be at least 0, found {weight}")
        self.teacher, self.label_weight, self.consistency_weight = teacher, label_weight, consistency_weight
        self.temperature, self.label_smoothing = temperature, label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, mode: Mode, predictions: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar loss of `mode`.

        Args:
            logits: float (n, classes).
            labels: int64 (n,).
            predictions: logits of the higher modes for this batch, by mode name, from the highest down.
        """
        weight = self.weights.get(mode.name, 1.0)
        label_loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        if self.teacher is None or not predictions:
            return weight * label_loss
        target = TEACHERS[self.teacher]([p.detach().float() / self.temperature for p in predictions.values()])
        own = F.log_softmax(logits.float() / self.temperature, dim=1)
        consistency = F.kl_div(own, target, reduction="batchmean") * self.temperature**2
        return weight * (self.label_weight * label_loss + self.consistency_weight * consistency)


def _highest(logits: list[Tensor]) -> Tensor:
    return logits[0].softmax(1)


def _next_higher(logits: list[Tensor]) -> Tensor:
    return logits[-1].softmax(1)


def _mean_of_all(logits: list[Tensor]) -> Tensor:
    return torch.stack([each.softmax(1) for each in logits]).mean(0)


TEACHERS: dict[str, Callable[[list[Tensor]], Tensor]] = {"highest": _highest, "next": _next_higher, "all": _mean_of_all}
