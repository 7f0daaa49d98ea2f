"""What does not freeze, and the one line that says so."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from frozen_nets import images
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import CalibrationError, ConvertError, FreezeError


class Around(nn.Module):
    """A convolution, and one step of the test's own behind it."""

    def __init__(self, step: object) -> None:
        super().__init__()
        self.conv, self.step = nn.Conv2d(3, 4, 3), step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self.conv(x))  # type: ignore[operator,no-any-return]


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, 1)


def converted(network: nn.Module, **options: object) -> nn.Module:
    x = images(2, (6, 6))
    made = qz.convert(network.eval(), ("w8a8", "w2a2"), example=x, **options).eval()
    qz.calibrate(made, [x])
    return made


STEPS = {
    "an unknown operation": (Inner(), "step: cumsum.default: no operation of an IntegerModel computes it; write that part with"),
    "an operation of the network itself": (torch.sin, r"the network: sin.default: no operation"),
    "a mean over channels": (lambda x: x.mean(1, keepdim=True), r"mean.dim: takes the mean over axes \[1\] of 4"),
    "the batch moved": (lambda x: x.transpose(0, 1), "transpose.int: moves the batch axis"),
    "the batch mixed": (lambda x: x.reshape(-1, 2), r"mixes the batch with other axes"),
    "another mode of padding": (nn.ReflectionPad2d(1), "step: "),
    "a divisor of its own": (nn.AvgPool2d(2, divisor_override=3), r"avg_pool2d.default: divides by a number of its own \(3\)"),
    "values that choose the way": (lambda x: x if x.sum() > 0 else -x, "Around: torch.export cannot trace it"),
    "two outputs": (lambda x: (x, x + 1), "Around: must take one tensor and return one, found 1 and 2"),
    "another dtype": (lambda x: x.double(), "the result is torch.float64, edges carry float32"),
}


@pytest.mark.parametrize("name", STEPS)
def test_an_operation_without_a_node_is_refused_with_its_name_and_module(name):
    """Promise: an error that names the operation, the module path, and what to do, in one line."""
    step, message = STEPS[name]
    with pytest.raises(FreezeError, match=message) as caught:
        qz.freeze(converted(Around(step)), images(1, (6, 6)))
    assert "\n" not in str(caught.value)


def test_layers_that_stay_float_are_refused():
    """Promise: nothing falls back: an IntegerModel has no float weights outside fp32."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(FreezeError, match=r"2: linear.default: .*; let convert quantize this layer"):
        qz.freeze(converted(network, skip=["2"]), images(1, (6, 6)))


def test_other_quantizers_are_refused():
    """Promise: only the shared grid has one set of codes for all modes."""
    network = converted(nn.Sequential(nn.Conv2d(3, 4, 3)), plan=qz.Plan(quantizer="lsq"))
    with pytest.raises(FreezeError, match="0: quantizer 'lsq' has weights of its own per mode; only 'nested' freezes"):
        qz.freeze(network, images(1, (6, 6)))


def test_a_mode_without_steps_is_refused():
    """Promise: the network's own error, before any work is lost."""
    network = qz.convert(nn.Sequential(nn.Conv2d(3, 4, 3)), ("w8a8", "w2a2"), example=images(1, (6, 6))).eval()
    with pytest.raises(CalibrationError, match="0: no step in mode w8a8; call calibrate"):
        qz.freeze(network, images(1, (6, 6)))


def test_a_norm_without_running_statistics_is_refused():
    """Promise: statistics of a batch are no constants."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(FreezeError, match="2: has no running statistics"):
        qz.freeze(converted(network), images(1, (6, 6)))
    with pytest.raises(FreezeError, match="the norm behind 0: has no running statistics"):
        qz.freeze(converted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))), images(1, (6, 6)))


def test_convolutions_over_three_axes_are_refused():
    """Promise: an error that names the layer."""
    network = nn.Sequential(nn.Conv3d(3, 4, 1))
    x = torch.randn(1, 3, 2, 2, 2)
    made = qz.convert(network.eval(), ("w8a8",), example=x).eval()
    qz.calibrate(made, [x])
    with pytest.raises(FreezeError, match=r"0: Conv3d ends in conv3d.default; an IntegerModel has convolutions over 1 or 2 axes"):
        qz.freeze(made, x)


def test_attention_is_refused():
    """Promise: an error that names the layer, not a wrong model."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x, x, x, need_weights=False)[0]
            return out

    x = torch.randn(2, 5, 8)
    made = qz.convert(Attention().eval(), ("w8a8",), example=x).eval()
    qz.calibrate(made, [x])
    with pytest.raises(FreezeError, match="inner: MultiheadAttention ends in"):
        qz.freeze(made, x)


@pytest.mark.parametrize("example", [torch.zeros(1, 3, 6, 6, dtype=torch.float64), (), torch.zeros(3), "x"])
def test_a_wrong_example_is_refused(example):
    """Promise: one float32 tensor, with its batch."""
    with pytest.raises(FreezeError, match="example must be one float32 tensor"):
        qz.freeze(converted(nn.Sequential(nn.Conv2d(3, 4, 3))), example)


def test_a_float_network_is_refused():
    """Promise: convert comes first."""
    with pytest.raises(ConvertError, match="not a converted network"):
        qz.freeze(nn.Conv2d(3, 4, 3), images(1, (6, 6)))


@pytest.mark.parametrize("first", ["import quantizable.freeze", "qz.freeze", "from quantizable.freeze import freeze"])
def test_freeze_is_the_function_whatever_was_imported_before(first):
    """Promise: qz.freeze freezes, although its room has the same name."""
    program = f"import quantizable as qz; {first}; import quantizable.freeze; assert callable(qz.freeze); print(qz.freeze.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["freeze"]
