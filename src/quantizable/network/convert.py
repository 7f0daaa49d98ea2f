"""convert: any network of torch becomes one that switches between bit modes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from quantizable.errors import ConvertError, ModeError, PlanError
from quantizable.modes import Mode, parse_modes
from quantizable.network.attention import ATTENTION, QuantizedAttention, QuantizedEncoderLayer, why_not_attention
from quantizable.network.layers import Kind, QuantizedLayer, QuantizedReLU, kind_of
from quantizable.network.norms import BitSpecificNorm, is_norm
from quantizable.network.plan import Plan, Structure, nearest
from quantizable.network.quantizers import QUANTIZERS, ActivationQuantizer
from quantizable.network.switch import Switch, switch_of, unwrap
from quantizable.network.switchable import make_switchable
from quantizable.network.trace import Example, trace

ROOT = "(root)"  # how a network that is itself one layer is named


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What `convert` made of one module, and why. bits: mode name -> (weight bits, activation bits), empty for float."""

    name: str
    was: str
    became: str
    bits: tuple[tuple[str, tuple[int, int]], ...] = ()


@dataclass(slots=True)
class Conversion:
    """How a network was converted; `save` writes it, `describe` prints it."""

    plan: Plan
    structure: Structure
    reports: tuple[LayerReport, ...]


def convert(
    network: nn.Module,
    modes: Iterable[Mode | str | int] | Mapping[str, Mapping[str, object]] | str = (32, 8, 4, 2),
    *,
    plan: Plan | None = None,
    skip: Iterable[str] = (),
    example: Example | None = None,
    structure: Structure | None = None,
) -> nn.Module:
    """Return a copy of `network` that can be in any of `modes`; `network` itself is untouched.

    In ``fp32`` the copy computes what `network` computes, bit for bit. It starts in its highest mode.

    Args:
        modes: ints, names, or a mapping of names to {layer pattern: bits}.
        plan: how layers are treated; the default is nested codes with 8 bits for the first and the last layer.
        skip: patterns of layers that stay float, added to the plan's keep_float.
        example: an input (tensor, tuple of arguments, or mapping). With it, layers and the norms behind them become one unit,
            first and last are those that run first and last, and layers that read one tensor share its codes. Without it they
            are taken by their order in the network, and norms stay by themselves.
        structure: what an earlier trace found, instead of `example`.

    Raises:
        ConvertError: already converted, or nothing in it can be quantized.
        ModeError: a mode is misspelt or doubled, or the list is empty.
        PlanError: a pattern fits no layer, or names one that cannot be quantized.
    """
    if any(isinstance(module, QuantizedLayer) for module in network.modules()):
        raise ConvertError(f"{type(network).__name__}: already converted; convert the float network, or calibrate new modes")
    wanted = parse_modes(modes)  # type: ignore[arg-type]
    plan = plan or Plan()
    plan = replace(plan, keep_float=(*plan.keep_float, *skip))
    network = copy.deepcopy(network)
    layers, reports = _choose(network, plan, wanted)
    norms = {name: module for name, module in network.named_modules() if is_norm(module)}
    if structure is None:
        structure = Structure() if example is None else trace(network, layers, norms, example)
    structure = _complete(structure, layers)
    switch = Switch(wanted, wanted[0])
    network._switch = switch  # type: ignore[assignment]
    network._conversion = Conversion(plan, structure, ())  # type: ignore[assignment]
    _swap(network, layers, norms, switch, plan)
    for mode in wanted:
        _add_to_layers(network, mode, like=None)
    _join(network, structure)
    network._conversion.reports = (*(_report(network, name) for name in layers), *reports)  # type: ignore[union-attr]
    return network


def add_mode(network: nn.Module, mode: Mode) -> None:
    """Give a converted network one more mode, its norms a copy of the nearest higher mode's; steps are still to estimate."""
    switch = switch_of(network)
    if any(own.name == mode.name for own in switch.modes):
        raise ModeError(f"mode {mode.name!r}: already a mode of this network; calibrate it, or give it a label such as '{mode.name}:b'")
    modes = parse_modes((*switch.modes, mode))
    position = [own.name for own in modes].index(mode.name)
    higher = next((own.name for own in reversed(modes[:position]) if not own.is_float), None)
    lower = next((own.name for own in modes[position + 1 :]), None)
    _add_to_layers(unwrap(network), mode, like=higher or lower)
    switch.modes = modes


def remove_mode(network: nn.Module, mode: Mode) -> None:
    """Take a mode from a converted network, with its norms and steps."""
    switch = switch_of(network)
    switch.modes = tuple(own for own in switch.modes if own.name != mode.name)
    for module in unwrap(network).modules():
        if isinstance(module, QuantizedLayer):
            module._bits.pop(mode.name, None)
        for children in (getattr(module, name, None) for name in ("input_quantizers", "memory_quantizers", "mode_norms")):
            if children is not None and mode.name in children:
                del children[mode.name]


def conversion_of(network: nn.Module) -> Conversion:
    """Return how `network` was converted.

    Raises:
        ConvertError: it was not.
    """
    switch_of(network)
    found = unwrap(network).__dict__["_conversion"]
    assert isinstance(found, Conversion)
    return found


def quantized_layers(network: nn.Module) -> dict[str, QuantizedLayer]:
    """Return the layers of a converted network that have bits, by name, in the network's order."""
    return {module._layer_name: module for module in network.modules() if isinstance(module, QuantizedLayer)}


def _choose(network: nn.Module, plan: Plan, modes: tuple[Mode, ...]) -> tuple[dict[str, nn.Module], list[LayerReport]]:
    """Return the modules to quantize by name, and reports on those that stay float."""
    layers: dict[str, nn.Module] = {}
    reports: list[LayerReport] = []
    for name, module in ((name or ROOT, module) for name, module in network.named_modules()):
        kind = _kind(module)
        pattern = plan.keeps_float(name)
        if isinstance(kind, Kind) and pattern is None:
            layers[name] = module
        elif isinstance(kind, Kind) or (next(module.parameters(recurse=False), None) is not None and not is_norm(module)):
            reason = kind if isinstance(kind, str) else f"pattern {pattern!r}"
            reports.append(LayerReport(name, type(module).__name__, f"float: {reason}"))
    if not layers:
        found = ", ".join(sorted({type(m).__name__ for m in network.modules()})[:6])
        raise ConvertError(f"{type(network).__name__}: nothing to quantize, found {found}; layers are Conv1d/2d/3d, Linear, attention")
    _check_patterns(network, layers, plan, modes)
    return layers, reports


def _check_patterns(network: nn.Module, layers: Mapping[str, nn.Module], plan: Plan, modes: tuple[Mode, ...]) -> None:
    names = [name or ROOT for name, _ in network.named_modules()]
    for pattern in plan.keep_float:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise PlanError(f"plan: pattern {pattern!r} to keep float fits no layer{nearest(pattern, names)}")
    naming = [(p, f"quantizers {f!r}") for p, f in plan.quantizers] + [(p, f"mode {m.name!r}") for m in modes for p, _ in m.overrides]
    for pattern, where in naming:
        if any(fnmatchcase(name, pattern) for name in layers):
            continue
        fits = next((name for name in names if fnmatchcase(name, pattern)), None)
        if fits is None:
            raise PlanError(f"plan: pattern {pattern!r} of {where} fits no layer{nearest(pattern, layers)}")
        reason = _kind(network.get_submodule("" if fits == ROOT else fits))
        raise PlanError(f"plan: pattern {pattern!r} of {where} names {fits!r}, which cannot be quantized: {reason}")


def _kind(module: nn.Module) -> Kind | str:
    if isinstance(module, nn.MultiheadAttention):
        return why_not_attention(module) or ATTENTION
    return kind_of(module)


def _complete(structure: Structure, layers: Mapping[str, nn.Module]) -> Structure:
    names = list(layers)
    return replace(structure, first=structure.first or names[0], last=structure.last or names[-1])


def _swap(network: nn.Module, layers: Mapping[str, nn.Module], norms: Mapping[str, nn.Module], switch: Switch, plan: Plan) -> None:
    """Make the chosen modules switchable, still without modes."""
    for name, module in layers.items():
        family = QUANTIZERS[plan.family_of(name)]
        kind = _kind(module)
        assert isinstance(kind, Kind)
        make_switchable(module, QuantizedAttention if kind is ATTENTION else QuantizedLayer, switch)
        layer: Any = module
        layer._layer_name, layer._kind, layer._bits, layer._norm = name, kind, {}, ()
        layer.weight_quantizer = family.weight(kind.weight(layer), plan.channel_rms)
        layer.input_quantizers = nn.ModuleDict()
        if kind is ATTENTION:
            layer.memory_quantizers = nn.ModuleDict()
    for module in norms.values():
        make_switchable(module, BitSpecificNorm, switch)
        module.mode_norms, module._is_absorbed = nn.ModuleDict(), False  # type: ignore[assignment]
    for module in list(network.modules()):
        if type(module) is nn.ReLU:
            make_switchable(module, QuantizedReLU, switch)
        elif type(module) is nn.TransformerEncoderLayer:
            make_switchable(module, QuantizedEncoderLayer, switch)


def _add_to_layers(network: nn.Module, mode: Mode, *, like: str | None) -> None:
    if mode.is_float:
        return
    conversion = network.__dict__["_conversion"]
    plan, structure = conversion.plan, conversion.structure
    for name, layer in quantized_layers(network).items():
        weight_bits, activation_bits = mode.bits_of(name)
        special = plan.first_bits if name == structure.first else plan.last_bits if name == structure.last else None
        if special is not None and not any(fnmatchcase(name, pattern) for pattern, _ in mode.overrides):
            weight_bits = activation_bits = special
        layer._bits[mode.name] = (weight_bits, activation_bits)
        layer.weight_quantizer.add_mode(mode.name, weight_bits)
        family = QUANTIZERS[plan.family_of(name)]
        for quantizers in (layer.input_quantizers, getattr(layer, "memory_quantizers", layer.input_quantizers)):
            if mode.name not in quantizers:  # shared ones have it from the first layer that reads them
                made = family.activation(activation_bits, layer._kind.n_inputs(layer), layer._kind.channel_dim)
                quantizers[mode.name] = made.to(next(layer.parameters()).device)
    for module in network.modules():
        if isinstance(module, BitSpecificNorm) and (plan.norms == "per_mode"):
            module.add_mode(mode.name, like)


def _join(network: nn.Module, structure: Structure) -> None:
    """Connect layers with the norms behind them, and let layers that read one tensor share its quantizers."""
    layers = quantized_layers(network)
    for name, norm_name in structure.norms:
        norm = network.get_submodule(norm_name)
        assert isinstance(norm, BitSpecificNorm)
        if name in layers and (isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.mode_norms) and not isinstance(norm, nn.SyncBatchNorm):
            layers[name]._norm, norm._is_absorbed = (norm,), True
    for name, owner_name in structure.shared_inputs:
        if name in layers and owner_name in layers and _can_share(layers[name], layers[owner_name]):
            layers[name].input_quantizers = layers[owner_name].input_quantizers


def _can_share(layer: QuantizedLayer, owner: QuantizedLayer) -> bool:
    def describe(quantizers: nn.ModuleDict) -> list[tuple[str, type, int, int, int]]:
        found = [(name, q) for name, q in quantizers.items() if isinstance(q, ActivationQuantizer)]
        return [(name, type(q), q.bits, q.n_channels, q.channel_dim) for name, q in found]

    return describe(layer.input_quantizers) == describe(owner.input_quantizers)


def _report(network: nn.Module, name: str) -> LayerReport:
    layer = quantized_layers(network)[name]
    conversion = network.__dict__["_conversion"]
    base = type(layer).__bases__[1].__name__
    norm = dict(conversion.structure.norms).get(name) if layer._norm else None
    place = "first layer, " if name == conversion.structure.first else "last layer, " if name == conversion.structure.last else ""
    became = place + conversion.plan.family_of(name) + (f", one unit with {norm}" if norm else "")
    return LayerReport(name, base, became, tuple(layer._bits.items()))
