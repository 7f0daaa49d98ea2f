"""Which modules of a network become switchable, and why the others stay float."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.parameter import is_lazy

from quantizable.errors import ConvertError, PlanError
from quantizable.modes import Mode
from quantizable.network.attention import ATTENTION, why_not_attention
from quantizable.network.layers import Kind, kind_of
from quantizable.network.norms import is_norm
from quantizable.network.plan import Plan, nearest

ROOT = "(root)"  # how a network that is itself one layer is named


@dataclass(frozen=True, slots=True)
class Choice:
    """Modules by name: those that get bits, the norms that get a set per mode, and the reasons of those that stay float.

    kept: layers that could have bits and stay float by a pattern; they count for which layer is the first and the last.
    """

    layers: dict[str, nn.Module]
    norms: dict[str, nn.Module]
    reasons: dict[str, str]
    kept: dict[str, nn.Module]

    def keep_float(self, layer: str, why: str) -> None:
        """Take a layer out of those that get bits.

        Raises:
            ConvertError: it was the last one.
        """
        del self.layers[layer]
        self.reasons[layer] = why
        if not self.layers:
            raise ConvertError(f"{layer}: the only layer left to quantize, found: {why}; give an example that runs the layers")


def choose(network: nn.Module, plan: Plan) -> Choice:
    """Return what becomes of each module of `network` that has weights.

    Raises:
        ConvertError: nothing can be quantized, or a module has no weights yet.
        PlanError: a pattern to keep float fits nothing.
    """
    named = {name or ROOT: module for name, module in network.named_modules()}
    choice = Choice({}, {}, {}, {})
    inside: dict[nn.Module, str] = {}  # output projections of attentions that stay float, which call them by their weights
    for name, module in named.items():
        kind, pattern = kind_in(module), plan.keeps_float(name)
        if any(map(is_lazy, module.parameters(recurse=False))):
            raise ConvertError(f"{name}: {type(module).__name__} has no weights yet; run one batch through the network, then convert it")
        if isinstance(kind, Kind) and pattern is None and module not in inside:
            choice.layers[name] = module
            continue
        if isinstance(kind, Kind):
            choice.kept[name] = module
        if is_norm(module):
            choice.norms[name] = module
        elif isinstance(kind, Kind) or next(module.parameters(recurse=False), None) is not None:
            choice.reasons[name] = inside.get(module) or (f"pattern {pattern!r}" if pattern else str(kind))
        if isinstance(module, nn.MultiheadAttention):
            inside[module.out_proj] = f"part of {name}, which stays float"
    if not choice.layers:
        found = ", ".join(sorted({type(module).__name__ for module in named.values()})[:6])
        raise ConvertError(f"{type(network).__name__}: nothing to quantize, found {found}; layers are Conv1d/2d/3d, Linear, attention")
    for pattern in plan.keep_float:
        if not any(fnmatchcase(name, pattern) for name in named):
            raise PlanError(f"plan: pattern {pattern!r} to keep float fits no layer{nearest(pattern, named)}")
    return choice


def kind_in(module: nn.Module) -> Kind | str:
    """Return how `module`, a layer or an attention, multiplies by weights, or why it cannot be quantized."""
    if isinstance(module, nn.MultiheadAttention):
        return why_not_attention(module) or ATTENTION
    return kind_of(module)


def check_patterns(network: nn.Module, layers: Iterable[str], reasons: Mapping[str, str], *, plan: Plan, modes: Iterable[Mode]) -> None:
    """Check that every pattern of `plan` and `modes` that gives layers a quantizer or bits fits one that has them.

    Raises:
        PlanError: it fits none; names what it fits instead, or the nearest name.
    """
    quantized = list(layers)
    patterns = [(pattern, f"quantizer {family!r}") for pattern, family in plan.quantizers]
    patterns += [(pattern, f"mode {mode.name!r}") for mode in modes for pattern, _ in mode.overrides]
    for pattern, where in patterns:
        if any(fnmatchcase(name, pattern) for name in quantized):
            continue
        fits = next((name for name, _ in network.named_modules() if fnmatchcase(name or ROOT, pattern)), None)
        if fits is None:
            raise PlanError(f"plan: pattern {pattern!r} of {where} fits no layer{nearest(pattern, quantized)}")
        if any(name.startswith(f"{fits}.") for name in quantized):
            raise PlanError(f"plan: pattern {pattern!r} of {where} fits a module, not its layers; write '{pattern}.*'")
        reason = reasons.get(fits or ROOT) or kind_in(network.get_submodule(fits))
        raise PlanError(f"plan: pattern {pattern!r} of {where} names {fits or ROOT!r}, which cannot be quantized: {reason}")
