"""describe: layer by layer, what `convert` made of a network, and why."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from quantizable.network.choose import ROOT
from quantizable.network.convert import conversion_of
from quantizable.network.layers import QuantizedLayer
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.switch import modes_of, unwrap


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What `convert` made of one module, and why. bits: mode name -> (weight bits, activation bits), empty for norms and float."""

    name: str
    was: str
    became: str
    bits: tuple[tuple[str, tuple[int, int]], ...] = ()


def describe(network: nn.Module) -> str:
    """Return a table of all modules with weights: name, class, bits per mode, what became of it and why.

    Raises:
        ConvertError: the network was not converted.
    """
    reports = layer_reports(network)
    names = [mode.name for mode in modes_of(network)]
    head = ("layer", "class", *names, "became")
    rows = [_row(report, names) for report in reports]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    quantized, kept = sum(bool(report.bits) for report in reports), sum(report.became.startswith("float") for report in reports)
    lines.append(f"{quantized} layers quantized, {kept} with weights stay float")
    return "\n".join(lines)


def layer_reports(network: nn.Module) -> tuple[LayerReport, ...]:
    """Return a report on each module of `network` that has weights, in the network's order.

    Raises:
        ConvertError: the network was not converted.
    """
    conversion = conversion_of(network)
    absorbed = {norm: layer for layer, norm in conversion.structure.norms}
    found = []
    for name, module in ((name or ROOT, module) for name, module in unwrap(network).named_modules()):
        if isinstance(module, QuantizedLayer):
            found.append(_of_layer(network, name, module))
        elif isinstance(module, BitSpecificNorm):
            sets = "a set per mode" if module.mode_norms else "one set for all modes"
            became = sets + (f", one unit with {absorbed[name]}" if module._is_absorbed else "")
            found.append(LayerReport(name, _class_before(module), became))
        elif name in conversion.reasons:
            found.append(LayerReport(name, type(module).__name__, f"float: {conversion.reasons[name]}"))
    return tuple(found)


def _of_layer(network: nn.Module, name: str, layer: QuantizedLayer) -> LayerReport:
    conversion = conversion_of(network)
    structure = conversion.structure
    norm, owner = dict(structure.norms).get(name), dict(structure.shared_inputs).get(name)
    parts = (
        "first layer" if name == structure.first else "",
        "last layer" if name == structure.last else "",
        conversion.plan.family_of(name),
        f"one unit with {norm}" if norm else "",
        f"input codes of {owner}" if owner else "",
    )
    return LayerReport(name, _class_before(layer), ", ".join(part for part in parts if part), tuple(layer._bits.items()))


def _class_before(module: nn.Module) -> str:
    return type(module).__bases__[1].__name__


def _row(report: LayerReport, names: list[str]) -> tuple[str, ...]:
    bits = dict(report.bits)
    without = "float" if bits or report.became.startswith("float") else ""
    cells = ["w{}a{}".format(*bits[name]) if name in bits else without for name in names]
    return (report.name, report.was, *cells, report.became)
