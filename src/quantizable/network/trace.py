"""What one pass through the float network shows: the order of its layers, norms read by nothing else, inputs read twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quantizable.network.plan import Structure

Example = Tensor | tuple[Any, ...] | Mapping[str, Any]


def trace(network: nn.Module, layers: Mapping[str, nn.Module], norms: Mapping[str, nn.Module], example: Example) -> Structure:
    """Return the Structure of `network`, seen in one evaluation pass over `example` without gradients.

    A norm belongs to a layer if, each time, the norm is the only reader of the layer's output.

    Args:
        layers, norms: the modules of interest by name.
        example: an input tensor, a tuple of arguments, or a mapping of keyword arguments.
    """
    watch = _Watch()
    hooks = [module.register_forward_hook(watch.sees(name)) for name, module in (*layers.items(), *norms.items())]
    was_training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad(), watch:
            watch.results = set(map(id, _tensors(_call(network, example))))
    finally:
        for hook in hooks:
            hook.remove()
        for module in was_training:
            module.training = True
    calls = [call for call in watch.calls if call[0] in layers]
    return Structure(
        first=calls[0][0] if calls else None,
        last=calls[-1][0] if calls else None,
        norms=tuple(_pairs(watch, layers, norms)),
        shared_inputs=tuple(_shared(calls)),
    )


class _Watch(TorchFunctionMode):
    """Counts how often each tensor is read, and remembers the calls of modules: (name, input, output)."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[int] = Counter()
        self.calls: list[tuple[str, Tensor, Tensor]] = []
        self.results: set[int] = set()
        self._alive: list[object] = []  # a tensor's id stays its own while it lives

    def sees(self, name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(out, Tensor):
                self.calls.append((name, args[0], out))

        return hook

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = list(_tensors(out))
        if made and getattr(func, "__name__", "") != "__get__":
            read = list(_tensors((args, kwargs)))
            self._alive += [read, made]
            self.reads.update(map(id, read))
        return out


def _pairs(watch: _Watch, layers: Mapping[str, nn.Module], norms: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    norm_of = {id(source): name for name, source, _ in watch.calls if name in norms}
    found: dict[str, set[str | None]] = defaultdict(set)
    users: dict[str, set[str]] = defaultdict(set)
    n_calls = Counter(name for name, _, _ in watch.calls)
    for name, _, out in watch.calls:
        if name in layers:
            alone = watch.reads[id(out)] == 1 and id(out) not in watch.results
            norm = norm_of.get(id(out)) if alone else None
            found[name].add(norm)
            if norm is not None:
                users[norm].add(name)
    for name, partners in found.items():
        (norm, *others) = partners
        if norm is not None and not others and len(users[norm]) == 1 and n_calls[norm] == n_calls[name]:
            yield name, norm


def _shared(calls: Iterable[tuple[str, Tensor, Tensor]]) -> Iterator[tuple[str, str]]:
    readers: dict[int, str] = {}
    seen: Counter[str] = Counter(name for name, _, _ in calls)
    for name, source, _ in calls:
        if seen[name] > 1:
            continue
        first = readers.setdefault(id(source), name)
        if first != name:
            yield name, first


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
