"""The float mode of a network as a list of calls: torch.export, its operations grouped by the layers and norms they belong to."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind

from quantizable.errors import FreezeError
from quantizable.modes import parse_mode
from quantizable.network import BitSpecificNorm, QuantizedLayer, switch_of

_BATCH = 2  # of the trace: torch.export treats a batch of one as a constant


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a module or of one operation.

    nodes: the traced operations, in order; one where `module` is None.
    module: the layer or norm whose operations these are; None for an operation of its own.
    path: of the module, or of the innermost module around the operation; "" for the network itself.
    count: how often the module ran before, 0 for the first time.
    """

    nodes: tuple[fx.Node, ...]
    module: QuantizedLayer | BitSpecificNorm | None
    path: str
    count: int

    @property
    def out(self) -> fx.Node:
        """The operation whose result is the call's."""
        return self.nodes[-1]


@dataclass(frozen=True, slots=True)
class Trace:
    """constants: what does not depend on the input (parameters, buffers, and what is made of them) -> its value."""

    input: fx.Node
    output: fx.Node
    calls: tuple[Call, ...]
    constants: dict[fx.Node, Tensor]
    names: dict[fx.Node, str]  # of parameters and buffers


def trace(network: nn.Module, example: Tensor) -> Trace:
    """Return the calls that `network` makes in its float mode.

    example: float32 (N, ...); its first entry is traced.

    Raises:
        FreezeError: torch.export cannot trace the network, or it has other inputs than `example` or other outputs than a tensor.
    """
    program = _export(network, example)
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes}
    inputs = [nodes[name] for name in signature.user_inputs if isinstance(name, str) and name in nodes]
    outputs = [nodes[name] for name in signature.user_outputs if isinstance(name, str) and name in nodes]
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} and {len(outputs)}"
        raise FreezeError(f"{_class(network)}: must take one tensor and return one, found {found}; wrap it in a module that does")
    constants, names = {}, {}
    for spec in signature.input_specs:
        node = nodes.get(spec.arg.name)
        if node is None or spec.kind is InputKind.USER_INPUT:
            continue
        value = program.constants.get(str(spec.target), program.state_dict.get(str(spec.target)))
        if isinstance(value, Tensor):
            constants[node], names[node] = value.detach(), str(spec.target)
    calls = tuple(_calls(network, program.graph, inputs[0], constants))
    return Trace(inputs[0], outputs[0], calls, constants, names)


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a traced operation by the names of its schema, defaults included."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    return {argument.name: argument.default_value for argument in schema if argument.has_default_value()} | given | node.kwargs


def _export(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    float_view = _float_view(network)
    batch = example[:1].expand(_BATCH, *example.shape[1:]).contiguous()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its tree specs
            program = torch.export.export(float_view, (batch,), strict=False)
            plain: torch.export.ExportedProgram = program.run_decompositions({})  # in-place operations become plain ones
    except Exception as error:  # whatever the user's forward and torch's tracer raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        where = _class(network)
        raise FreezeError(f"{where}: torch.export cannot trace it ({reason}); take what depends on values out of forward") from error
    return plain


def _float_view(network: nn.Module) -> nn.Module:
    """Return the network in its float mode and in evaluation, sharing its tensors, without what only other modes read."""
    shared: dict[int, object] = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    view = copy.deepcopy(network, shared)
    switch_of(view).mode = parse_mode("fp32")  # also where the network has no such mode: the float weights are there
    for module in view.modules():  # of the view alone: each tensor less makes the trace shorter
        if isinstance(module, QuantizedLayer):
            module.input_quantizers = nn.ModuleDict()
        elif isinstance(module, BitSpecificNorm):
            module.mode_norms = nn.ModuleDict()
    return view.eval()


def _calls(network: nn.Module, graph: fx.Graph, source: fx.Node, constants: dict[fx.Node, Tensor]) -> Iterator[Call]:
    """Yield the calls in order; evaluate what depends on constants alone."""
    groups: dict[tuple[str, str], list[fx.Node]] = {}
    singles: list[tuple[tuple[str, str], Call]] = []
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if all(argument in constants for argument in node.all_input_nodes):
            constants[node] = node.target(*_values(node.args, constants), **_values(node.kwargs, constants))
            continue
        owner, path, key = _owner(network, node)
        if owner is None:
            singles.append((("", node.name), Call((node,), None, path, 0)))
            continue
        if (path, key) not in groups:
            groups[path, key] = []
            singles.append(((path, key), Call((), owner, path, _count(key))))
        groups[path, key].append(node)
    for place, call in singles:
        yield call if call.module is None else Call(tuple(groups[place]), call.module, call.path, call.count)


def _owner(network: nn.Module, node: fx.Node) -> tuple[QuantizedLayer | BitSpecificNorm | None, str, str]:
    """Return the layer around an operation, or the norm directly around it, its path, and the key of this one call."""
    stack = [(key, str(entry[0])) for key, entry in (node.meta.get("nn_module_stack") or {}).items()]
    for key, path in stack:
        module = network.get_submodule(path)
        if isinstance(module, QuantizedLayer):
            return module, path, key
    if not stack:
        return None, "", ""
    key, path = stack[-1]  # an activation inside a norm (timm) is an operation of its own
    module = network.get_submodule(path)
    return (module if isinstance(module, BitSpecificNorm) else None), path, key


def _count(key: str) -> int:
    """Return n for a key that ends in ``@n``: the n-th further call of a module."""
    _, _, number = key.rpartition("@")
    return int(number) if "@" in key and number.isdecimal() else 0


def _values(argument: Any, constants: dict[fx.Node, Tensor]) -> Any:
    return fx.node.map_arg(argument, lambda node: constants[node])


def _class(network: nn.Module) -> str:
    return type(network).__name__.removeprefix("Switchable")
