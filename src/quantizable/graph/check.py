"""Proves that an IntegerModel holds together: names, kinds of edges, numbers, shapes, and that no accumulator overflows."""

from __future__ import annotations

import math

import numpy as np

from quantizable.errors import GraphError, ModeError
from quantizable.graph.accumulators import check_accumulators
from quantizable.graph.functions import FUNCTIONS
from quantizable.graph.model import FLOAT_MODE, INPUT, IntegerModel
from quantizable.graph.nodes import Activation, IntegerConv, IntegerLinear, Quantize, sources_of
from quantizable.graph.numbers import check_fields
from quantizable.graph.shapes import shapes_of
from quantizable.graph.tables import check_tables
from quantizable.modes import parse_modes


def check(model: IntegerModel) -> None:
    """Return nothing where `model` can run in every one of its modes on inputs of its shape.

    Raises:
        GraphError: the first thing found wrong, in one line.
    """
    _check_modes(model)
    _check_input(model)
    _check_weights(model)
    _check_edges(model)
    for node in model.nodes:
        check_fields(model, node)
    check_tables(model)
    _check_always_bits(model)
    _check_classes(model, shapes_of(model)[model.output])
    check_accumulators(model)


def _check_modes(model: IntegerModel) -> None:
    try:
        ordered = tuple(mode.name for mode in parse_modes(model.modes))
    except ModeError as error:
        raise GraphError(f"{model.name}: {error}") from error
    if ordered != model.modes:
        raise GraphError(f"{model.name}: modes go from the highest to the lowest, found {model.modes}; write {ordered}")
    if not model.integer_modes:
        raise GraphError(f"{model.name}: needs an integer mode, found {model.modes}; freeze a network that has one")
    if (FLOAT_MODE in model.modes) != bool(model.float_weights):
        has, lacks = ("mode fp32", "float weights") if FLOAT_MODE in model.modes else ("float weights", "mode fp32")
        raise GraphError(f"{model.name}: has {has} but no {lacks}; keep both or neither")


def _check_input(model: IntegerModel) -> None:
    spec, where = model.input, f"{model.name}: input"
    if not 1 <= len(spec.shape) <= 3 or not all(type(size) is int and size >= 1 for size in spec.shape):
        raise GraphError(f"{where}: the shape is 1 to 3 sizes of at least 1, found {spec.shape}; leave the batch out")
    for what, values in (("mean", spec.mean), ("std", spec.std)):
        if len(values) != (spec.shape[0] if spec.mean or spec.std else 0):
            raise GraphError(f"{where}: {what} needs {spec.shape[0]} values, one a channel, found {len(values)}; give both or neither")
        if not all(isinstance(value, float) and math.isfinite(value) for value in values):
            raise GraphError(f"{where}: {what} must be finite, found {values}; give them on the scale 0 to 1")
    if not all(2.0**-30 <= value <= 2.0**30 for value in spec.std):
        raise GraphError(f"{where}: std must be from 2^-30 to 2^30, found {spec.std}; give it on the scale 0 to 1")


def _check_weights(model: IntegerModel) -> None:
    _check_unique(model, "weight", [weight.name for weight in model.weights])
    for weight in model.weights:
        codes = weight.codes
        if codes.dtype != np.uint8 or not 2 <= codes.ndim <= 4 or codes.size == 0:
            raise GraphError(f"{model.name}: codes {weight.name}: must be uint8 of 2 to 4 axes, found {codes.dtype} of shape {codes.shape}")
    if not model.float_weights:
        return
    _check_unique(model, "float weight", [weight.name for weight in model.float_weights])
    shapes = {weight.name: weight.codes.shape for weight in model.weights}
    for values in model.float_weights:
        if values.name not in shapes:
            raise GraphError(f"{model.name}: float weight {values.name!r} has no codes; keep one for each layer with codes")
        if values.values.dtype != np.float32 or values.values.shape != shapes.pop(values.name):
            raise GraphError(f"{model.name}: float weight {values.name}: must be float32 in the shape of its codes")
        if not np.isfinite(values.values).all():
            raise GraphError(f"{model.name}: float weight {values.name}: must be finite; freeze a sound network")
    if shapes:
        raise GraphError(f"{model.name}: codes {next(iter(shapes))!r} have no float weight, others have; keep all or none")


def _check_edges(model: IntegerModel) -> None:
    """Check that names are used once and before they are read, and that codes and float32 reach what takes them."""
    _check_unique(model, "edge", [INPUT, *(node.name for node in model.nodes)])
    weights = {weight.name: weight.codes.ndim for weight in model.weights}
    carries_codes = {INPUT: False}
    for node in model.nodes:
        where = f"{model.name}: {node.name}"
        takes_codes = isinstance(node, IntegerConv | IntegerLinear)
        for source in sources_of(node):
            if source not in carries_codes:
                raise GraphError(f"{where}: reads edge {source!r}, which nothing before it makes; order the nodes as they run")
            if carries_codes[source] != takes_codes:
                kinds = ("codes", "float32") if takes_codes else ("float32", "codes")
                raise GraphError(f"{where}: {type(node).__name__} reads {kinds[0]}, edge {source!r} carries {kinds[1]}")
        if isinstance(node, IntegerConv | IntegerLinear):
            n_axes = weights.get(node.weight)
            if n_axes is None:
                raise GraphError(f"{where}: no weight is named {node.weight!r}; known are {', '.join(weights)}")
            if (n_axes == 2) != isinstance(node, IntegerLinear):
                raise GraphError(f"{where}: {type(node).__name__} cannot use codes of {n_axes} axes, {node.weight!r}")
        if isinstance(node, Activation) and node.function not in FUNCTIONS:
            raise GraphError(f"{where}: no function is named {node.function!r}; known are {', '.join(FUNCTIONS)}")
        carries_codes[node.name] = isinstance(node, Quantize)
    if carries_codes.get(model.output) is not False:
        raise GraphError(f"{model.name}: the output {model.output!r} is no float32 edge; name one")
    for weight in weights.keys() - {node.weight for node in model.nodes if isinstance(node, IntegerConv | IntegerLinear)}:
        raise GraphError(f"{model.name}: codes {weight!r} are read by no layer; leave them out")


def _check_always_bits(model: IntegerModel) -> None:
    used: dict[str, set[int]] = {weight.name: set() for weight in model.weights}
    for node in model.nodes:
        if isinstance(node, IntegerConv | IntegerLinear):
            used[node.weight] |= {node.tables[mode].weight_bits for mode in model.integer_modes}
    for weight in model.weights:
        is_always_8 = used[weight.name] == {8}
        if weight.always_bits not in (None, 8) or (weight.always_bits == 8 and not is_always_8):
            raise GraphError(
                f"{model.name}: codes {weight.name}: always_bits is {weight.always_bits}, the modes use "
                f"{sorted(used[weight.name])}; write 8 where all use 8, else None"
            )


def _check_classes(model: IntegerModel, output: tuple[int, ...]) -> None:
    _check_unique(model, "class", list(model.class_names))
    if model.class_names and len(model.class_names) != output[-1]:
        raise GraphError(f"{model.name}: {len(model.class_names)} class names for outputs of shape {output}; give one for each, or none")


def _check_unique(model: IntegerModel, what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name:
            raise GraphError(f"{model.name}: a {what} needs a name, found {name!r}")
        if name in seen:
            plural = f"{what}es" if what.endswith("s") else f"{what}s"
            raise GraphError(f"{model.name}: two {plural} are named {name!r}; name each once")
        seen.add(name)
