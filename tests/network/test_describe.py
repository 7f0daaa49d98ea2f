"""describe: layer by layer what became what, and why."""

from __future__ import annotations

import torch
from nets import SkipNet, calibrated, images, skip_net
from torch import nn

import quantizable as qz
from quantizable.network import Plan, layer_reports

TABLE = """\
layer       class        fp32   w4a4  w2a4  became
conv1       Conv2d       float  w8a8  w8a8  first layer, nested, one unit with bn1
bn1         BatchNorm2d                     a set per mode, one unit with conv1
conv2       Conv2d       float  w4a4  w2a4  lsq, one unit with bn2
bn2         BatchNorm2d                     a set per mode, one unit with conv2
shortcut.0  Conv2d       float  float float float: pattern 'shortcut'
shortcut.1  BatchNorm2d                     a set per mode
fc          Linear       float  w8a8  w8a8  last layer, nested
3 layers quantized, 1 with weights stay float"""


def test_the_table_shows_every_module_with_weights_in_order() -> None:
    """Name, class before, bits per mode, what it became and why; norms and float layers included."""
    network = qz.convert(skip_net(), (32, 4, "w2a4"), plan=Plan(quantizers=(("conv2", "lsq"),)), skip=["shortcut"], example=images())
    squeezed = [line.split() for line in qz.describe(network).splitlines()]
    assert squeezed == [line.split() for line in TABLE.splitlines()]


def test_a_mode_added_later_is_in_the_table() -> None:
    """The bits are read from the layers as they are now."""
    network = calibrated(skip_net(), images(), (32, 8))
    qz.calibrate(network, [images()], modes=["w3a3"])
    head, first, *_, last = qz.describe(network).splitlines()
    assert head.split()[:5] == ["layer", "class", "fp32", "w8a8", "w3a3"]
    assert first.split()[2:5] == ["float", "w8a8", "w8a8"]
    assert "w3a3" in qz.describe(network).splitlines()[3]
    assert last == "4 layers quantized, 0 with weights stay float"
    qz.network.remove_mode(network, "w3a3")
    assert "w3a3" not in qz.describe(network)


def test_shared_norms_and_inputs_are_told() -> None:
    """One set for all modes; whose codes a layer reads."""
    network = qz.convert(skip_net(), (32, 4), plan=Plan(norms="shared"), example=images())
    became = {report.name: report.became for report in layer_reports(network)}
    assert became["bn1"] == "one set for all modes, one unit with conv1"
    assert became["shortcut.0"] == "nested, one unit with shortcut.1, input codes of conv2"
    alone = {report.name: report.became for report in layer_reports(qz.convert(SkipNet(), (32, 4)))}
    assert alone["bn1"] == "a set per mode"
    assert alone["fc"] == "last layer, nested"


def test_a_view_and_a_wrapped_network_are_described() -> None:
    """A view has one mode; wrappers are looked through; the root may be a layer."""
    network = calibrated(skip_net(), images(), (32, 8))
    assert qz.describe(qz.at(network, 8)).splitlines()[0].split() == ["layer", "class", "w8a8", "became"]
    assert qz.describe(torch.optim.swa_utils.AveragedModel(network)) == qz.describe(network)
    assert "(root)  Linear" in qz.describe(qz.convert(nn.Linear(3, 2), (32, 8)))
