"""Where the time of a training step goes: torch's operators and the compiled passes of the fused unit, by kind."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from quantizable.network import coding, fused, passes

KINDS = (  # the first that is part of an operator's name says its kind
    ("convolution_backward", "convolution backward"),
    ("qconv_prepack", "weights: packing"),
    ("pack", "weights: packing"),
    ("code_weight", "weights: coding"),
    ("checksum", "weights: coding"),
    ("divide_rows", "weights: gradient"),
    ("qconv", "convolution forward"),
    ("onednn", "convolution forward"),
    ("mkldnn_convolution", "convolution forward, fp32"),
    ("batch_norm", "norm, fp32"),
    ("threshold", "ReLU"),
    ("clamp_min", "ReLU"),
    ("relu", "ReLU"),
    ("pass:", "passes"),
    ("aten::add", "sums of tensors"),
    ("copy_", "copies"),
    ("sgd", "optimizer"),
)
REPEAT = 3


def print_profile(step: Callable[[], float]) -> None:
    """Print the share of each kind in the time of `step`, and the operators behind it."""
    for _ in range(2):
        step()
    start = time.perf_counter()
    for _ in range(REPEAT):
        step()
    total = (time.perf_counter() - start) / REPEAT * 1e3
    with _named_passes(), profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(REPEAT):
            step()
    by_kind: dict[str, dict[str, float]] = {}
    for event in found.key_averages():
        kind = next((kind for part, kind in KINDS if part in event.key), "rest")
        by_kind.setdefault(kind, {})[event.key] = event.self_cpu_time_total / REPEAT / 1e3
    print(f"one step: {total:.1f} ms without the profiler; self times under it, ms")
    for kind, parts in sorted(by_kind.items(), key=lambda item: -sum(item[1].values())):
        largest = sorted(parts.items(), key=lambda item: -item[1])[:14]
        print(f"{sum(parts.values()):8.1f} {kind:26} " + ", ".join(f"{name} {ms:.1f}" for name, ms in largest if ms >= 0.5))


@contextmanager
def _named_passes() -> Iterator[None]:
    """Let the profiler see the compiled passes, which are no operators of torch."""
    names = [(passes, name) for name, value in vars(passes).items() if inspect.isfunction(value) and value.__module__ == passes.__name__]
    places = [(module, name) for module, name in names if not name.startswith("_")] + [(coding, "code_weight"), (fused, "pack")]
    before = [getattr(module, name) for module, name in places]
    for (module, name), function in zip(places, before, strict=True):
        setattr(module, name, _named(f"pass: {name}", function))
    try:
        yield
    finally:
        for (module, name), function in zip(places, before, strict=True):
            setattr(module, name, function)


def _named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)

    return call
