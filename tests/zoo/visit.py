"""One visit to one model: what quantizable promises of any network, tried, and what was seen on the way."""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from families import Model
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import quantizable as qz
from quantizable.network import BitSpecificNorm, QuantizedLayer, layer_reports, quantized_layers

MODES = ("fp32", "w8a8", "w4a4", "w2a2", "w1a1")
N_CLASSES = 10


@dataclass(frozen=True, slots=True)
class Visit:
    """What a model showed.

    layers, norms: how many became quantized, and bit-specific. float_layers: what stays float, "class: reason" -> how many.
    macs: multiply-adds of one image, products of two activations included. share: of them in quantized layers, 0 to 1.
    """

    parameters: int
    layers: int
    norms: int
    float_layers: dict[str, int]
    macs: int
    share: float
    seconds: float
    cpu_seconds: float


def visit(model: Model, folder: Path) -> Visit:
    """Return what `model` showed; a promise that does not hold is an AssertionError, or the error that quantizable raised."""
    start, cpu_start = time.perf_counter(), time.process_time()
    torch.manual_seed(0)
    images = torch.randn(2, 3, model.size, model.size)
    network = model.build(N_CLASSES)
    leave_the_start(network, images)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        expected = network.eval()(images)
    converted = qz.convert(network, MODES, example=images)
    assert_equal(network.state_dict(), state)
    with torch.no_grad(), qz.use_mode(converted, "fp32"):
        assert torch.equal(converted.eval()(images), expected), "fp32 differs from the float network"
    train_one_step(converted, images)
    with counted_macs(converted) as counts:
        outputs = run_all_modes(converted, images)
    quantized_macs = sum(counts.values()) // (len(MODES) - 1)
    qz.save(converted, folder)
    assert_equal(run_all_modes(qz.load(folder, network), images), outputs)
    assert set(quantized_layers(converted)) <= {line.split(maxsplit=1)[0] for line in qz.describe(converted).splitlines()}

    macs = macs_of(network, images)
    assert 0 < quantized_macs <= macs
    kept = [report for report in layer_reports(converted) if report.became.startswith("float")]
    return Visit(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        layers=len(quantized_layers(converted)),
        norms=sum(isinstance(module, BitSpecificNorm) for module in converted.modules()),
        float_layers=dict(Counter(f"{report.was}: {report.became.removeprefix('float: ')}" for report in kept)),
        macs=macs // len(images),
        share=round(quantized_macs / macs, 4),
        seconds=round(time.perf_counter() - start, 2),
        cpu_seconds=round(time.process_time() - cpu_start, 2),
    )


def leave_the_start(network: nn.Module, images: Tensor) -> None:
    """Bring a fresh network to where training would: zero gains and tiny layer scales hide branches, unfit statistics explode."""
    with torch.no_grad():
        for parameter in network.parameters():
            if bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.1 * torch.randn_like(parameter))
        many = torch.randn(16, *images.shape[1:])
        momenta = {norm: norm.momentum for norm in network.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)}
        for norm in momenta:
            norm.momentum = 1.0
        network.train()(many)
        for norm, momentum in momenta.items():
            norm.momentum = momentum


def train_one_step(converted: nn.Module, images: Tensor) -> None:
    """Train all modes for one step of SGD: every quantized layer, and every norm in every mode, gets finite gradients."""
    parameters = [parameter for parameter in converted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    result = qz.multi_mode_backward(converted.train(), images, torch.arange(len(images)))
    assert list(result.losses) == list(MODES)
    assert all(bool(loss.isfinite()) for loss in result.losses.values()), result.losses
    wrong = []
    for name, module in converted.named_modules():
        if isinstance(module, QuantizedLayer | BitSpecificNorm):
            own = ((key, parameter) for key, parameter in module.named_parameters() if "memory_quantizers" not in key)  # of cross attention
            wrong += [f"{name}.{key}" for key, parameter in own if parameter.requires_grad and not _has_finite_gradient(parameter)]
    assert wrong == []
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def run_all_modes(converted: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the outputs in evaluation by mode: finite, and no integer mode equal to another."""
    outputs: dict[str, Tensor] = {}
    converted.eval()
    for mode in MODES:
        qz.set_mode(converted, mode)
        with torch.no_grad():
            out = converted(images)
        assert out.shape == (len(images), N_CLASSES)
        assert bool(out.isfinite().all()), mode
        assert not any(torch.equal(out, other) for other in outputs.values()), f"{mode} computes what a higher mode does"
        outputs[mode] = out
    return outputs


def macs_of(network: nn.Module, images: Tensor) -> int:
    """Return the multiply-adds of the float network, attention and recurrence taken apart into their products."""
    frozen = copy.deepcopy(network).requires_grad_(False)  # the counter cannot follow parameters that are passed to modules
    torch.backends.mha.set_fastpath_enabled(False)  # its products are not counted
    recurrence: Any = {torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops}
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=recurrence) as counter:
            frozen(images)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return counter.get_total_flops() // 2


def _recurrent_flops(x: tuple[int, ...], of_input: tuple[int, ...], of_state: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * math.prod(x[:-1]) * (math.prod(of_input) + math.prod(of_state))


def _has_finite_gradient(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.isfinite().all())


@contextmanager
def counted_macs(converted: nn.Module) -> Iterator[Counter[str]]:
    """Count the multiply-adds of quantized layers, by name, in the integer modes that run inside."""
    counts: Counter[str] = Counter()

    def hook(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        if layer._switch.mode.is_float:
            return
        if isinstance(out, Tensor):
            counts[layer._layer_name] += out.numel() * layer._kind.weight(layer)[0].numel()
        else:  # attention: the three parts of its packed projection
            counts[layer._layer_name] += sum(part.numel() for part in args[:3]) * layer.embed_dim

    hooks = [layer.register_forward_hook(hook, with_kwargs=True) for layer in quantized_layers(converted).values()]
    try:
        yield counts
    finally:
        for handle in hooks:
            handle.remove()


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """The same names with the same values, bit for bit."""
    assert list(found) == list(wanted)
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []
