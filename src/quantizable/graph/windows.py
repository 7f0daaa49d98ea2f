"""The windows of pooling along one axis: which positions of the input each output sees."""

from __future__ import annotations

from typing import NamedTuple

from quantizable.graph.nodes import AvgPool, MaxPool


class Window(NamedTuple):
    """inside: the positions of the input under one window. divisor: what an average divides by, along this axis."""

    inside: slice
    divisor: int


def n_windows(node: MaxPool | AvgPool, axis: int, size: int) -> int:
    """Return how many windows fit along one axis of the input; below 1 where the kernel does not fit."""
    kernel, stride, padding = node.kernel[axis], node.stride[axis], node.padding[axis]
    dilation = node.dilation[axis] if isinstance(node, MaxPool) else 1
    rest = size + 2 * padding - dilation * (kernel - 1) - 1
    if rest < 0:
        return 0
    outputs = (-(-rest // stride) if node.ceil_mode else rest // stride) + 1
    starts_outside = node.ceil_mode and (outputs - 1) * stride >= size + padding
    return outputs - starts_outside


def pool_windows(node: MaxPool | AvgPool, axis: int, size: int) -> list[Window]:
    """Return the windows along one axis of an input of `size` positions."""
    kernel, stride, padding = node.kernel[axis], node.stride[axis], node.padding[axis]
    dilation = node.dilation[axis] if isinstance(node, MaxPool) else 1
    reach = dilation * (kernel - 1) + 1
    counts_padding = isinstance(node, AvgPool) and node.count_include_pad
    found = []
    for j in range(n_windows(node, axis, size)):
        start = j * stride - padding
        first = start if start >= 0 else start + -(start // dilation) * dilation  # the first tap at 0 or behind
        inside = slice(first, min(start + reach, size), dilation)
        padded = min(start + reach, size + padding) - start
        found.append(Window(inside, padded if counts_padding else len(range(size)[inside])))
    return found


def adaptive_windows(size: int, outputs: int) -> list[Window]:
    """Return the windows that cut `size` positions into `outputs` means: from floor(j n / m) to ceil((j + 1) n / m)."""
    bounds = [(j * size // outputs, -(-(j + 1) * size // outputs)) for j in range(outputs)]
    return [Window(slice(start, stop), stop - start) for start, stop in bounds]
