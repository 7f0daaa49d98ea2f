"""Optimizers over parameter groups: weights decay; norms and biases do not; steps of quantizers have a rate of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from quantizable.errors import RecipeError
from quantizable.network import ActivationQuantizer, WeightQuantizer, unwrap


def parameter_groups(
    network: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    step_lr: float | None = None,
    step_lr_by_bits: Mapping[int, float] | None = None,
) -> list[dict[str, Any]]:
    """Return optimizer groups of a converted network, for any optimizer of torch.

    Args:
        lr: rate of weights, biases, and norms.
        weight_decay: of weights alone (tensors of two or more axes).
        step_lr: rate of what the quantizers learn, default `lr`. Nested steps are learned as logarithms: a rate is relative.
        step_lr_by_bits: activation bits -> factor on `step_lr`, 1 where not named (Double-Rounding, arXiv 2502.01199, scales
            the rate of low widths down).
    """
    bits_of = _quantizer_parameters(network)
    rest = [p for p in unwrap(network).parameters() if p.requires_grad and id(p) not in bits_of]
    by_bits: dict[int, list[nn.Parameter]] = {}
    for parameter, bits in bits_of.values():
        by_bits.setdefault(bits, []).append(parameter)
    factors = step_lr_by_bits or {}
    groups: list[dict[str, Any]] = [
        {"name": "weights", "params": [p for p in rest if p.ndim >= 2], "lr": lr, "weight_decay": weight_decay},
        {"name": "norms", "params": [p for p in rest if p.ndim < 2], "lr": lr, "weight_decay": 0.0},
    ]
    for bits, parameters in sorted(by_bits.items()):
        rate = (lr if step_lr is None else step_lr) * factors.get(bits, 1.0)
        groups.append({"name": f"steps of {bits} bits" if bits else "weight steps", "params": parameters, "lr": rate, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def make_optimizer(name: str, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float = 0.9) -> torch.optim.Optimizer:
    """Return an optimizer by name: sgd (Nesterov), adam, adamw; each group remembers its first rate as "start_lr".

    Raises:
        RecipeError: another name.
    """
    made = [{**group, "start_lr": group["lr"]} for group in groups]
    if name == "sgd":
        return torch.optim.SGD(made, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    if name == "adam":
        return torch.optim.Adam(made, lr=lr, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(made, lr=lr, fused=True)
    raise RecipeError(f"train.optimizer: must be sgd, adam or adamw, found {name!r}")


def rate_factor(step: int, steps: int, *, rule: str, warmup_steps: int = 0, milestones: tuple[float, ...] = ()) -> float:
    """Return the factor on every group's rate at `step` of `steps`: linear warm-up, then "cosine", "constant" or "steps".

    milestones: for "steps", shares of the whole run (0 to 1) at each of which the rate falls to a tenth.
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    share = step / max(1, steps)
    if rule == "cosine":
        return warmup * 0.5 * (1 + math.cos(math.pi * share))
    if rule == "steps":
        return float(warmup * 0.1 ** sum(share >= milestone for milestone in milestones))
    if rule == "constant":
        return warmup
    raise RecipeError(f"train.lr_schedule: must be cosine, steps or constant, found {rule!r}")


def _quantizer_parameters(network: nn.Module) -> dict[int, tuple[nn.Parameter, int]]:
    """id -> (parameter, activation bits), 0 bits for what weight quantizers learn."""
    found: dict[int, tuple[nn.Parameter, int]] = {}
    for module in network.modules():
        bits = module.bits if isinstance(module, ActivationQuantizer) else 0 if isinstance(module, WeightQuantizer) else None
        if bits is not None:
            found.update({id(p): (p, bits) for p in module.parameters() if p.requires_grad})
    return found
