"""convert: any network of torch becomes one that switches between bit modes."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from quantizable.errors import ConvertError, ModeError, PlanError, RangeError
from quantizable.modes import Mode, parse_modes
from quantizable.network.attention import ATTENTION, QuantizedAttention, QuantizedEncoder, QuantizedEncoderLayer
from quantizable.network.choose import ROOT, Choice, check_patterns, choose, kind_in
from quantizable.network.layers import Kind, QuantizedLayer, QuantizedReLU, takes_codes
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.plan import Plan, Structure
from quantizable.network.quantizers import QUANTIZERS, ActivationQuantizer, WeightQuantizer
from quantizable.network.switch import Switch, switch_of, unwrap
from quantizable.network.switchable import make_switchable
from quantizable.network.trace import Example, trace


@dataclass(slots=True)
class Conversion:
    """How a network was converted; `save` writes it, `describe` prints it. reasons: module that stays float -> why."""

    plan: Plan
    structure: Structure
    reasons: dict[str, str]


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
            first and last are those that run first and last, and layers that read one tensor share its codes; layers that do
            not run stay float. Without it they are taken by their order in the network, and norms stay by themselves.
        structure: what an earlier trace found, instead of `example`.

    Raises:
        ConvertError: already converted, or nothing in it can be quantized.
        ModeError: a mode is misspelt or doubled, or the list is empty.
        PlanError: a pattern fits no layer, or names one that cannot be quantized.
        RangeError: a weight is not finite or beyond 2^30.
    """
    if any(isinstance(module, QuantizedLayer) for module in network.modules()):
        raise ConvertError(f"{type(network).__name__}: already converted; convert the float network, or calibrate new modes")
    wanted = parse_modes(modes)
    plan = plan or Plan()
    plan = replace(plan, keep_float=(*plan.keep_float, *skip))
    network = copy.deepcopy(network)
    choice = choose(network, plan)
    if structure is None:
        structure = Structure() if example is None else trace(network, choice.layers, choice.norms, example, kept=choice.kept)
    for name, why in structure.idle:
        choice.keep_float(name, why)
    check_patterns(network, choice.layers, choice.reasons, plan=plan, modes=wanted)
    weighted = {**choice.layers, **choice.kept}
    names = [name or ROOT for name, _ in network.named_modules() if (name or ROOT) in weighted]
    structure = replace(structure, first=structure.first or names[0], last=structure.last or names[-1])
    switch = Switch(wanted, wanted[0])
    network._switch = switch  # type: ignore[assignment]
    conversion = Conversion(plan, structure, choice.reasons)
    network._conversion = conversion  # type: ignore[assignment]
    _swap(network, choice, switch, plan)
    for mode in wanted:
        _add_to_layers(network, mode, like=None)
    conversion.structure = _join(network, structure)
    return network


def add_mode(network: nn.Module, mode: Mode) -> None:
    """Give a converted network one more mode, its norms a copy of the nearest higher mode's; steps are still to estimate.

    Raises:
        ModeError: the network has this mode, or it gives layers that share the codes of one tensor different widths.
        PlanError: a pattern of the mode's overrides fits no layer.
    """
    network, switch = unwrap(network), switch_of(network)
    if switch.is_fixed:
        raise ModeError(f"mode {mode.name!r}: this view stays in {switch.mode.name!r}; add modes to the network it views")
    if any(own.name == mode.name for own in switch.modes):
        raise ModeError(f"mode {mode.name!r}: already a mode of this network; calibrate it, or give it a label such as '{mode.name}:b'")
    conversion = conversion_of(network)
    check_patterns(network, quantized_layers(network), conversion.reasons, plan=Plan(), modes=(mode,))
    for name, owner in conversion.structure.shared_inputs:
        bits, other = _bits_of(conversion, mode, name)[1], _bits_of(conversion, mode, owner)[1]
        if bits != other:
            raise ModeError(f"mode {mode.name!r}: {name} and {owner} share codes, found {bits} and {other} bits; give both the same")
    modes = parse_modes((*switch.modes, mode))
    position = [own.name for own in modes].index(mode.name)
    higher = next((own.name for own in reversed(modes[:position]) if not own.is_float), None)
    lower = next((own.name for own in modes[position + 1 :]), None)
    _add_to_layers(network, mode, like=higher or lower)
    switch.modes = modes


def remove_mode(network: nn.Module, mode: Mode | str | int) -> None:
    """Take a mode from a converted network, with its norms and steps; a network in that mode goes to its highest.

    Raises:
        ModeError: not a mode of the network, or its only one.
    """
    switch = switch_of(network)
    own = switch.find(mode)
    if len(switch.modes) == 1:
        raise ModeError(f"mode {own.name!r}: the only mode of this network; add another before removing it")
    switch.modes = tuple(other for other in switch.modes if other.name != own.name)
    if switch.mode.name == own.name:
        switch.mode = switch.modes[0]
    for module in unwrap(network).modules():
        if isinstance(module, QuantizedLayer | WeightQuantizer):
            getattr(module, "_bits", {}).pop(own.name, None)
        if isinstance(module, QuantizedLayer):
            module._widths = _widths(module)
        if isinstance(module, nn.ModuleDict | nn.ParameterDict) and own.name in module:
            del module[own.name]


def conversion_of(network: nn.Module) -> Conversion:
    """Return how `network` was converted.

    Raises:
        ConvertError: it was not, or is a part of one.
    """
    inner = unwrap(network)
    found = inner.__dict__.get("_conversion")
    if not isinstance(found, Conversion):
        raise ConvertError(f"{type(inner).__name__}: not a converted network; call convert(network, modes) first")
    return found


def quantized_layers(network: nn.Module) -> dict[str, QuantizedLayer]:
    """Return the layers of a converted network that have bits, by name, in the network's order."""
    return {module._layer_name: module for module in network.modules() if isinstance(module, QuantizedLayer)}


def _swap(network: nn.Module, choice: Choice, switch: Switch, plan: Plan) -> None:
    """Make the chosen modules switchable, still without modes."""
    for name, module in choice.layers.items():
        family = QUANTIZERS[plan.family_of(name)]
        kind = kind_in(module)
        assert isinstance(kind, Kind)
        make_switchable(module, QuantizedAttention if kind is ATTENTION else QuantizedLayer, switch)
        layer: Any = module
        layer._layer_name, layer._kind, layer._bits, layer._norm = name, kind, {}, ()
        layer._widths, layer._n_axes, layer._reads_relu, layer._next_quantizers = (), kind.weight(layer).ndim, False, ()
        try:
            layer.weight_quantizer = family.weight(kind.weight(layer), plan.channel_rms).train(layer.training)
        except RangeError as error:
            raise RangeError(f"{name}: {error}") from error
        layer.input_quantizers = nn.ModuleDict().train(layer.training)
        if kind is ATTENTION:
            layer.memory_quantizers = nn.ModuleDict().train(layer.training)
    for norm in choice.norms.values():
        make_switchable(norm, BitSpecificNorm, switch)
        norm.mode_norms, norm._is_absorbed = nn.ModuleDict().train(norm.training), False  # type: ignore[assignment]
    for module in list(network.modules()):
        if type(module) is nn.ReLU and "forward" not in module.__dict__:
            make_switchable(module, QuantizedReLU, switch)
            module._is_needless, module._next_quantizers = False, ()  # type: ignore[assignment]
        elif isinstance(module, nn.TransformerEncoderLayer):
            make_switchable(module, QuantizedEncoderLayer, switch)
        elif isinstance(module, nn.TransformerEncoder):
            make_switchable(module, QuantizedEncoder, switch)


def _add_to_layers(network: nn.Module, mode: Mode, *, like: str | None) -> None:
    if mode.is_float:
        return
    conversion = conversion_of(network)
    for name, layer in quantized_layers(network).items():
        weight_bits, activation_bits = _bits_of(conversion, mode, name)
        layer._bits[mode.name] = (weight_bits, activation_bits)
        layer._widths = _widths(layer)
        layer.weight_quantizer.add_mode(mode.name, weight_bits)
        family = QUANTIZERS[conversion.plan.family_of(name)]
        for quantizers in (layer.input_quantizers, getattr(layer, "memory_quantizers", layer.input_quantizers)):
            if mode.name not in quantizers:  # shared ones have it from the first layer that reads them
                made = family.activation(activation_bits, layer._kind.n_inputs(layer), layer._kind.channel_dim)
                quantizers[mode.name] = made.to(next(layer.parameters()).device).train(layer.training)
    for module in network.modules():
        if isinstance(module, BitSpecificNorm) and conversion.plan.norms == "per_mode":
            module.add_mode(mode.name, like)


def _bits_of(conversion: Conversion, mode: Mode, layer: str) -> tuple[int, int]:
    """Return (weight bits, activation bits) of a layer in a mode: the mode's overrides first, then first and last layer."""
    plan, structure = conversion.plan, conversion.structure
    special = plan.first_bits if layer == structure.first else plan.last_bits if layer == structure.last else None
    if special is None or any(fnmatchcase(layer, pattern) for pattern, _ in mode.overrides):
        return mode.bits_of(layer)
    return special, special


def _widths(layer: QuantizedLayer) -> tuple[int, ...]:
    return tuple(sorted({bits for bits, _ in layer._bits.values()}))


def _join(network: nn.Module, structure: Structure) -> Structure:
    """Connect layers with the norms behind them, with ReLUs before them, and with one another; return what was joined."""
    layers = quantized_layers(network)
    norms, shared = [], []
    for name, norm_name in structure.norms:
        norm = network.get_submodule(norm_name)
        if not isinstance(norm, BitSpecificNorm):
            raise PlanError(f"structure: {norm_name!r} is no norm, found {type(norm).__name__}; trace the network anew with an example")
        is_plain = isinstance(norm, nn.modules.batchnorm._BatchNorm) or len(norm.mode_norms) > 0
        if name in layers and is_plain and not isinstance(norm, nn.SyncBatchNorm):  # that one gathers from all processes itself
            layers[name]._norm, norm._is_absorbed = (norm,), True
            norms.append((name, norm_name))
    for name, owner_name in structure.shared_inputs:
        if name in layers and owner_name in layers and _can_share(layers[name], layers[owner_name]):
            layers[name].input_quantizers = layers[owner_name].input_quantizers
            shared.append((name, owner_name))
    _link_makers(network, layers, structure)
    relus = tuple(_skip_relus(network, layers, structure))
    return replace(structure, norms=tuple(norms), shared_inputs=tuple(shared), relus_read_by_layers_only=relus)


def _skip_relus(network: nn.Module, layers: Mapping[str, QuantizedLayer], structure: Structure) -> Iterator[tuple[str, str]]:
    """Let ReLUs hand their input through in integer modes where all that read them clip at zero themselves; yield these."""
    plan = conversion_of(network).plan
    readers: dict[str, list[str]] = defaultdict(list)
    for relu_name, name in structure.relus_read_by_layers_only:
        readers[relu_name].append(name)
    for relu_name, names in readers.items():
        relu = network.get_submodule(relu_name)
        clip = (name in layers and QUANTIZERS[plan.family_of(name)].activation.reads_pre_activation for name in names)
        if isinstance(relu, QuantizedReLU) and all(clip):
            relu._is_needless = True
            for name in names:
                layers[name]._reads_relu = True
                yield relu_name, name


def _link_makers(network: nn.Module, layers: Mapping[str, QuantizedLayer], structure: Structure) -> None:
    """Tell layers and ReLUs for which quantizers they may make codes."""
    for maker_name, name in structure.code_readers:
        maker: Any = layers.get(maker_name) or network.get_submodule(maker_name)
        if name in layers and takes_codes(layers[name]) and isinstance(maker, QuantizedLayer | QuantizedReLU):
            maker._next_quantizers = (layers[name].input_quantizers,)


def _can_share(layer: QuantizedLayer, owner: QuantizedLayer) -> bool:
    def describe(quantizers: nn.ModuleDict) -> list[tuple[str, type, int, int, int]]:
        found = [(name, q) for name, q in quantizers.items() if isinstance(q, ActivationQuantizer)]
        return [(name, type(q), q.bits, q.n_channels, q.channel_dim) for name, q in found]

    return describe(layer.input_quantizers) == describe(owner.input_quantizers)
