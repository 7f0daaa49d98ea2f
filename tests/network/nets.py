"""Small networks that several tests of this room share, with seeded weights and statistics that are not their defaults."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import quantizable as qz

MODES = ("fp32", "w8a8", "w4a4", "w2a4", "w1a1")


class SkipNet(nn.Module):
    """Two convolutions with norms, a shortcut with a norm of its own, and a linear head; input (N, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.shortcut = nn.Sequential(nn.Conv2d(8, 12, 1, stride=2, bias=False), nn.BatchNorm2d(12))
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)) + self.shortcut(x))
        return self.fc(x.mean((2, 3)))


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return `network` with random weights, and norms whose statistics and affine are not their defaults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if not tensor.is_floating_point():
                continue
            values = torch.randn(tensor.shape, generator=generator) * (0.3 if tensor.ndim > 1 else 0.2)
            if tensor.ndim == 1 and name.endswith(("weight", "running_var")):
                values = 0.5 + values.abs()
            tensor.copy_(values)
    return network


def settled(network: nn.Module, x: Tensor) -> nn.Module:
    """Return `network` in evaluation, the statistics of its norms those of `x`, as calibration on `x` will find them."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None
    with torch.no_grad():
        network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


def skip_net(seed: int = 0) -> nn.Module:
    """Return a SkipNet in evaluation."""
    return seeded(SkipNet(), seed).eval()


def images(n: int = 4, seed: int = 1, size: int = 8, channels: int = 3) -> Tensor:
    """Return `n` signed images, float32 (n, channels, size, size)."""
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


def calibrated(network: nn.Module, x: Tensor, modes: object = MODES, **options: object) -> nn.Module:
    """Return `network` converted with the example `x`, in evaluation, all its modes calibrated on `x`."""
    options.setdefault("example", x)
    converted = qz.convert(network, modes, **options).eval()  # type: ignore[arg-type]
    qz.calibrate(converted, [x])
    return converted


def outputs(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return {mode name: output} of a converted network without gradients; its mode stays as it was."""
    found = {}
    with torch.no_grad():
        for mode in qz.modes_of(network):
            with qz.use_mode(network, mode):
                found[mode.name] = network(x)
    return found


def differing(found: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """Return the names of the modes whose outputs are not equal bit for bit."""
    assert found.keys() == expected.keys()
    return [name for name in expected if not torch.equal(found[name], expected[name])]


def tensors_in(value: object) -> list[Tensor]:
    """Return the tensors of a network's output, whether it is one, a sequence, a mapping, or a dataclass."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else vars(value).values()
    return [tensor for item in items for tensor in tensors_in(item)]
