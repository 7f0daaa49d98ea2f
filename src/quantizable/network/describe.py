"""describe: layer by layer, what `convert` made of a network, and why."""

from __future__ import annotations

from torch import nn

from quantizable.network.convert import LayerReport, conversion_of
from quantizable.network.switch import modes_of


def describe(network: nn.Module) -> str:
    """Return a table of all layers with weights: name, class, bits per mode, what became of it and why.

    Raises:
        ConvertError: the network was not converted.
    """
    reports = conversion_of(network).reports
    names = [mode.name for mode in modes_of(network)]
    head = ("layer", "class", *names, "became")
    rows = [_row(report, names) for report in reports]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    quantized = sum(bool(report.bits) for report in reports)
    lines.append(f"{quantized} layers quantized, {len(reports) - quantized} with weights stay float")
    return "\n".join(lines)


def _row(report: LayerReport, names: list[str]) -> tuple[str, ...]:
    bits = dict(report.bits)
    cells = [f"w{bits[name][0]}a{bits[name][1]}" if name in bits else "float" for name in names]
    return (report.name, report.was, *cells, report.became)
