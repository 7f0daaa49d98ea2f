"""What one pass through the float network shows: the order of its layers, what reads the outputs of layers, norms, and ReLUs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quantizable.network.plan import Structure

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]


def trace(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    norms: Mapping[str, nn.Module],
    example: Example,
    *,
    kept: Mapping[str, nn.Module] | None = None,
) -> Structure:
    """Return the Structure of `network`, seen in one evaluation pass over `example` without gradients.

    A norm belongs to a layer if, each time, the norm is the only reader of the layer's output.

    Args:
        layers, norms: the modules of interest by name.
        example: an input tensor, a tuple of arguments, or a mapping of keyword arguments.
        kept: layers that stay float by choice, which may be the first or the last all the same.
    """
    kept = kept or {}
    watch = _Watch(_readers_of_weights(network, layers))
    relus = {name: module for name, module in network.named_modules() if type(module) is nn.ReLU}
    watched = (*layers.items(), *kept.items(), *norms.items(), *relus.items())
    hooks = [module.register_forward_hook(watch.sees(name), with_kwargs=True) for name, module in watched]
    for module in set().union(*watch.owners.values()):
        hooks += [module.register_forward_pre_hook(watch.enters, prepend=True), module.register_forward_hook(watch.leaves)]
    try:
        with _evaluating(network), torch.no_grad(), watch:
            watch.results = set(map(id, _tensors(_call(network, example))))
    finally:
        for hook in hooks:
            hook.remove()
    calls = [call for call in watch.calls if call.name in layers]
    order = [call.name for call in watch.calls if call.name in layers or call.name in kept]
    pairs = tuple(_pairs(watch, layers, norms))
    needless = tuple(_read_by_layers(watch, layers, relus))
    return Structure(
        first=order[0] if order else None,
        last=order[-1] if order else None,
        norms=pairs,
        shared_inputs=tuple(_shared(calls)),
        relus_read_by_layers_only=needless,
        idle=tuple(_idle(watch, layers)),
        code_readers=tuple(_code_readers(watch, layers, {norm: layer for layer, norm in pairs}, relus, {relu for relu, _ in needless})),
    )


class _Call(NamedTuple):
    """One call of a module: the tensor it read, how often that had been written in place, and the tensor it gave."""

    name: str
    source: Tensor
    version: int
    out: Tensor


class _Watch(TorchFunctionMode):
    """Counts how often each tensor is read, and remembers the calls of modules.

    owners: id of a layer's weight -> the modules whose forward may read it; `past` are the ids that others read.
    """

    def __init__(self, owners: Mapping[int, set[nn.Module]]) -> None:
        super().__init__()
        self.owners = owners
        self.past: set[int] = set()
        self._running: list[nn.Module] = []
        self.reads: Counter[int] = Counter()
        self.calls: list[_Call] = []
        self.results: set[int] = set()
        self._alive: list[object] = []  # a tensor's id stays its own while it lives

    def sees(self, name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            source, made = next(_tensors((args, kwargs)), None), next(_tensors(out), None)
            if source is not None and made is not None:
                self.calls.append(_Call(name, source, source._version, made))

        return hook

    def enters(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._running.append(module)

    def leaves(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        self._running.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = list(_tensors(out))
        if made:
            read = list(_tensors((args, kwargs)))
            self._alive += [read, made]
            self.reads.update(map(id, read))
            self.past.update(key for key in map(id, read) if key in self.owners and self.owners[key].isdisjoint(self._running))
        return out


def _pairs(watch: _Watch, layers: Mapping[str, nn.Module], norms: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    norm_of = {id(call.source): call.name for call in watch.calls if call.name in norms}
    found: dict[str, set[str | None]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    n_calls = Counter(call.name for call in watch.calls)
    for call in watch.calls:
        if call.name in layers:
            alone = watch.reads[id(call.out)] == 1 and id(call.out) not in watch.results
            norm = norm_of.get(id(call.out)) if alone and _has_channels_second(layers[call.name], call.out) else None
            found[call.name].add(norm)
            if norm is not None:
                users[norm].add(call.name)
    for name, partners in found.items():
        (norm, *others) = partners
        if norm is not None and not others and len(users[norm]) == 1 and n_calls[norm] == n_calls[name]:
            yield name, norm


def _has_channels_second(layer: nn.Module, out: Tensor) -> bool:
    """Return True where the layer's output channels are the axis that batch norms normalise: (N, C) or (N, C, ...)."""
    weight = getattr(layer, "weight", None)  # attention has none; its output is not its own projection's anyway
    return isinstance(weight, Tensor) and out.ndim == weight.ndim


def _read_by_layers(watch: _Watch, layers: Mapping[str, nn.Module], relus: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """Yield (ReLU, layer) where each output of the ReLU is read by such layers alone, and the layers run once."""
    n_calls = Counter(call.name for call in watch.calls)
    readers: dict[tuple[int, int], list[str]] = defaultdict(list)
    for call in watch.calls:
        if call.name in layers:
            readers[id(call.source), call.version].append(call.name)
    found: dict[str, set[str]] = defaultdict(set)
    others: set[str] = set()
    for call in watch.calls:
        if call.name not in relus:
            continue
        is_in_place = call.source is call.out
        names = readers[id(call.out), call.version if is_in_place else 0]
        is_alone = watch.reads[id(call.out)] - is_in_place == len(names) and id(call.out) not in watch.results
        if is_alone and all(n_calls[name] == 1 for name in names):
            found[call.name].update(names)
        else:
            others.add(call.name)
    yield from ((relu, name) for relu, names in found.items() if relu not in others for name in sorted(names))


def _code_readers(
    watch: _Watch, layers: Mapping[str, nn.Module], layer_of: Mapping[str, str], relus: Mapping[str, nn.Module], needless: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield (maker, layer): the layer or ReLU that made what another layer reads, and the first of these readers."""
    makers: dict[tuple[int, int], str] = {}
    found: set[str] = set()
    for call in watch.calls:
        is_in_place = call.source is call.out
        read = (id(call.source), call.version - is_in_place)
        made = (id(call.out), call.version if is_in_place else 0)
        maker = makers.get(read)
        if call.name in layers:
            if maker is not None and maker not in found:
                found.add(maker)
                yield maker, call.name
            makers[made] = call.name
        elif call.name in relus:
            makers[made] = maker if maker is not None and call.name in needless else call.name
        elif call.name in layer_of:
            makers[made] = layer_of[call.name]


def _shared(calls: Iterable[_Call]) -> Iterator[tuple[str, str]]:
    readers: dict[tuple[int, int], str] = {}
    seen: Counter[str] = Counter(call.name for call in calls)
    for call in calls:
        if seen[call.name] > 1:
            continue
        first = readers.setdefault((id(call.source), call.version), call.name)
        if first != call.name:
            yield call.name, first


def _readers_of_weights(network: nn.Module, layers: Mapping[str, nn.Module]) -> dict[int, set[nn.Module]]:
    """Return id of each layer's weight -> the modules that own it, and attentions whose output projection does."""
    owners: dict[int, set[nn.Module]] = {id(layer._parameters.get("weight")): set() for layer in layers.values()}
    for module in network.modules():
        inside = module.out_proj if isinstance(module, nn.MultiheadAttention) else module
        for parameter in (*module._parameters.values(), inside._parameters.get("weight")):
            if parameter is not None and id(parameter) in owners:
                owners[id(parameter)].add(module)
    return owners


def _idle(watch: _Watch, layers: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """Yield (layer, why) for layers whose forward does not do, or not alone, what their weights do in the network."""
    called = {layers[call.name] for call in watch.calls if call.name in layers}
    called |= {module.out_proj for module in called if isinstance(module, nn.MultiheadAttention)}
    for name, layer in layers.items():
        if id(layer._parameters.get("weight")) in watch.past:
            yield name, "its weight is read without calling it"
        elif layer not in called:
            yield name, "did not run with the example"


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """All modules in evaluation and called one by one: torch's fused transformer path would pass over the layers in it."""
    was_training = [module for module in network.modules() if module.training]
    was_fused = torch.backends.mha.get_fastpath_enabled()
    network.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)
        for module in was_training:
            module.training = True


def _call(network: nn.Module, example: Example) -> Any:
    if isinstance(example, Mapping):
        return network(**example)
    return network(*example) if isinstance(example, tuple) else network(example)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _tensors([getattr(value, field.name) for field in fields(value)])
