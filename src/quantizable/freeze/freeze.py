"""freeze: a trained quantizable network becomes an IntegerModel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantizable.errors import FreezeError
from quantizable.freeze.lower import Lowering
from quantizable.freeze.operators import lower_operation
from quantizable.freeze.trace import trace
from quantizable.graph import FLOAT_MODE, InputSpec, IntegerModel, check
from quantizable.network import BitSpecificNorm, QuantizedLayer, conversion_of, modes_of, quantized_layers, unwrap


@torch.no_grad()
def freeze(
    qnet: nn.Module,
    example: Tensor | tuple[Tensor],
    *,
    name: str = "",
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    class_names: Sequence[str] = (),
    with_float: bool = False,
) -> IntegerModel:
    """Return what `qnet` computes in evaluation, in all its integer modes, as an IntegerModel that passed its checks.

    `qnet` itself is untouched. Its integer units and the model agree in every code and every bit; docs/integer_model.md says
    which float operations torch may round differently.

    Args:
        qnet: a converted network, its modes trained or calibrated, all layers of the family "nested".
        example: an input, float32 (N, C, ...).
        name: of the model; the default is the network's class.
        mean, std: per channel, of u / 255: with them the model also takes uint8 images.
        class_names: of the outputs.
        with_float: keep the float weights too, so that the model has the mode fp32.

    Raises:
        ConvertError: not a converted network.
        CalibrationError: a mode has no steps yet.
        FreezeError: an operation, a quantizer, or a kind of input that an IntegerModel does not have.
        GraphError: the numbers do not fit: a sum could overflow, a step or a norm is not finite.
    """
    network = _on_cpu(unwrap(qnet))
    modes = tuple(mode.name for mode in modes_of(qnet) if with_float or not mode.is_float)
    _check_families(network)
    image = _image(example)
    traced = trace(network, image)
    lowering = Lowering(network, traced, modes)
    for call in traced.calls:
        lowering.path = call.path
        if isinstance(call.module, QuantizedLayer):
            lowering.layer(call)
        elif isinstance(call.module, BitSpecificNorm):
            lowering.norm(call)
        else:
            lower_operation(lowering, call.out, call.path)
    model = IntegerModel(
        name=name or type(network).__name__.removeprefix("Switchable"),
        input=InputSpec(tuple(image.shape[1:]), tuple(map(float, mean)), tuple(map(float, std))),
        modes=modes,
        weights=tuple(lowering.weights.values()),
        nodes=tuple(lowering.nodes),
        output=lowering.edge(traced.output),
        class_names=tuple(class_names),
        float_weights=tuple(lowering.float_weights.values()) if FLOAT_MODE in modes else (),
    )
    check(model)
    return model


def _check_families(network: nn.Module) -> None:
    plan = conversion_of(network).plan
    for layer in quantized_layers(network):
        family = plan.family_of(layer)
        if family != "nested":
            raise FreezeError(f"{layer}: quantizer {family!r} has weights of its own per mode; only 'nested' freezes, convert with that")


def _image(example: Any) -> Tensor:
    tensors = example if isinstance(example, tuple) else (example,)
    if len(tensors) != 1 or not isinstance(tensors[0], Tensor) or tensors[0].dtype is not torch.float32 or tensors[0].ndim < 2:
        found = ", ".join(str(getattr(tensor, "dtype", type(tensor).__name__)) for tensor in tensors)
        raise FreezeError(f"freeze: example must be one float32 tensor (N, C, ...), found {found}; give a batch of images")
    return tensors[0].detach().cpu()


def _on_cpu(network: nn.Module) -> nn.Module:
    """Return `network`, or a copy of it where it is not on the CPU."""
    is_here = all(tensor.device.type == "cpu" for tensor in (*network.parameters(), *network.buffers()))
    return network if is_here else copy.deepcopy(network).cpu()
